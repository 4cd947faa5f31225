"""A sheet of scenes: each image beside what is drawn on it, with a legend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pading.files import printable, replacing
from pading.visualize.drawing import VOID_COLOUR, draw_segments, resize
from pading.visualize.labels import INK, SEEN_COLOUR, UNSEEN_COLOUR, font, star_shape
from pading.visualize.segments import SegmentMap
from pading.vocabulary.splits import ClassSplit

_PAGE, _FAINT = (255, 255, 255), (110, 110, 110)
_GAP = 12


@dataclass(frozen=True)
class SheetRow:
    """One scene of a sheet.

    Args:
        image: H x W x 3, uint8, RGB.
        panels: heading (such as "ground truth", "prediction") -> what to draw on the image.
        caption: a line above the row; "" for none.
    """

    image: np.ndarray
    panels: Mapping[str, SegmentMap]
    caption: str = ""


def write_sheet(
    rows: Sequence[SheetRow],
    split: ClassSplit,
    path: str | Path,
    title: str = "",
    panel_width: int = 400,
) -> None:
    """Write a PNG sheet: a row per scene, the image first, then its panels, and a legend.

    Args:
        rows: scenes; all have the panels of the first, under the same headings.
        split: see :func:`~pading.visualize.drawing.draw_segments`.
        path: of the PNG, written whole or not at all.
        title: a line above the sheet; "" for none.
        panel_width: the longer side of every picture in pixels; images are scaled to it.
    """
    headings = list(rows[0].panels)
    pictures = []
    for row in rows:
        scale = panel_width / max(row.image.shape[:2])
        panels = [draw_segments(row.image, row.panels[name], split, scale) for name in headings]
        pictures.append([resize(row.image, scale), *panels])

    large, medium = font(24), font(18)
    width = (len(headings) + 1) * (panel_width + _GAP) + _GAP
    caption = 26 if any(row.caption for row in rows) else 0
    top = _GAP + (40 if title else 0)
    heights = [max(picture.shape[0] for picture in line) for line in pictures]
    height = top + 34 + sum(h + caption + _GAP for h in heights) + 44
    sheet = Image.new("RGB", (width, height), _PAGE)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((_GAP, _GAP), title, fill=INK, font=large)
    lefts = [_GAP + column * (panel_width + _GAP) for column in range(len(headings) + 1)]
    for left, heading in zip(lefts, ["image", *headings], strict=True):
        draw.text((left + panel_width / 2, top + 16), heading, fill=INK, font=large, anchor="mm")
    top += 34
    for row, line, row_height in zip(rows, pictures, heights, strict=True):
        if caption:
            draw.text((_GAP, top + 2), printable(row.caption), fill=_FAINT, font=medium)
            top += caption
        for left, picture in zip(lefts, line, strict=True):
            sheet.paste(Image.fromarray(picture), (left, top))
        top += row_height + _GAP
    _draw_legend(sheet, top)
    with replacing(path) as temporary:
        sheet.save(temporary)


def _draw_legend(sheet: Image.Image, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    small = font(16)
    entries = (
        ("unseen class: no label of it in training", UNSEEN_COLOUR),
        ("seen class", SEEN_COLOUR),
        ("unlabelled", VOID_COLOUR),
    )
    left, middle = _GAP, top + 16
    for text, colour in entries:
        corner = 0 if colour == VOID_COLOUR else 4
        box = (left, middle - 10, left + 34, middle + 10)
        draw.rounded_rectangle(box, radius=corner, fill=colour)
        if colour == UNSEEN_COLOUR:
            draw.polygon(star_shape(left + 17, middle, 8), fill=INK)
        elif colour == SEEN_COLOUR:
            draw.text((left + 17, middle), "a", fill=_PAGE, font=small, anchor="mm")
        draw.text((left + 42, middle), text, fill=INK, font=small, anchor="lm")
        left += 42 + int(draw.textlength(text, font=small)) + 3 * _GAP
