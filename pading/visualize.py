"""Pictures of panoptic results: one drawn on its image, or a sheet of scenes side by side."""

import colorsys
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from pading.data.files import replacing
from pading.data.splits import ClassSplit

UNSEEN_COLOUR = (255, 214, 10)
_SEEN_COLOUR = (20, 20, 20)
_VOID_COLOUR = (95, 95, 95)
_PAGE, _INK, _FAINT = (255, 255, 255), (25, 25, 25), (110, 110, 110)
_OPACITY = 0.55
_GAP = 12


@dataclass(frozen=True)
class PanopticMap:
    """A panoptic result or ground truth.

    Args:
        ids: H x W integers, 0 unlabelled.
        segments: per segment "id" and "category_id" (contiguous index of the split).
    """

    ids: np.ndarray
    segments: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SheetRow:
    """One scene of a sheet.

    Args:
        image: H x W x 3, uint8, RGB.
        panels: heading (such as "ground truth", "prediction") -> what to draw on the image.
        caption: a line above the row; "" for none.
    """

    image: np.ndarray
    panels: Mapping[str, PanopticMap]
    caption: str = ""


def draw_panoptic(
    image: np.ndarray, result: PanopticMap, split: ClassSplit, scale: float = 1.0
) -> np.ndarray:
    """Draw segments, their borders and labels on an image.

    A class has the same colour in every picture of a split. Unseen classes are hatched, have a
    yellow border and a yellow label with a star; what is unlabelled is darkened.

    Args:
        image: H x W x 3, uint8, RGB.
        result: its ``ids`` are H x W.
        split: names the classes and says which are unseen.
        scale: factor by which the picture is enlarged before it is drawn on.

    Returns:
        round(H scale) x round(W scale) x 3, uint8, RGB.
    """
    picture = _resize(image, scale)
    height, width = picture.shape[:2]
    size = (width, height)
    ids = np.asarray(
        Image.fromarray(result.ids.astype(np.int32)).resize(size, Image.Resampling.NEAREST)
    )
    line = max(1, round(min(size) / 350))
    rows, columns = np.indices(ids.shape)
    hatched = (rows + columns) % (10 * line) < 2 * line

    colours = np.full((height, width, 3), _VOID_COLOUR, dtype=np.float32)
    strength = np.full((height, width, 1), _OPACITY, dtype=np.float32)
    unseen = np.zeros(ids.shape, dtype=bool)
    instances: dict[int, int] = {}
    for segment in result.segments:
        mask = ids == segment["id"]
        index = segment["category_id"]
        instances[index] = instances.get(index, -1) + 1
        colours[mask] = class_colour(index, instances[index])
        if split.classes[index].unseen:
            unseen |= mask
    colours[unseen & hatched] = UNSEEN_COLOUR
    strength[unseen & hatched] = 0.8
    # On a grey picture a colour means the class and nothing else.
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey * (1 - strength) + colours * strength

    edges = _edges(ids, line)
    picture[edges] = (255, 255, 255)
    picture[edges & ndimage.binary_dilation(unseen, iterations=line)] = UNSEEN_COLOUR
    canvas = Image.fromarray(picture.round().astype(np.uint8))
    _draw_labels(canvas, ids, result.segments, split)
    return np.asarray(canvas)


def panoptic_sheet(
    rows: Sequence[SheetRow],
    split: ClassSplit,
    path: str | Path,
    title: str = "",
    panel_width: int = 400,
) -> None:
    """Write a PNG sheet: a row per scene, the image first, then its panels, and a legend.

    Args:
        rows: scenes; all have the panels of the first, under the same headings.
        split: see :func:`draw_panoptic`.
        path: of the PNG, written whole or not at all.
        title: a line above the sheet; "" for none.
        panel_width: width of every picture in pixels; images are scaled to it.
    """
    headings = list(rows[0].panels)
    pictures = []
    for row in rows:
        scale = panel_width / row.image.shape[1]
        panels = [draw_panoptic(row.image, row.panels[name], split, scale) for name in headings]
        pictures.append([_resize(row.image, scale), *panels])

    large, medium = _font(24), _font(18)
    width = (len(headings) + 1) * (panel_width + _GAP) + _GAP
    caption = 26 if any(row.caption for row in rows) else 0
    top = _GAP + (40 if title else 0)
    heights = [max(picture.shape[0] for picture in line) for line in pictures]
    height = top + 34 + sum(h + caption + _GAP for h in heights) + 44
    sheet = Image.new("RGB", (width, height), _PAGE)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((_GAP, _GAP), title, fill=_INK, font=large)
    lefts = [_GAP + column * (panel_width + _GAP) for column in range(len(headings) + 1)]
    for left, heading in zip(lefts, ["image", *headings], strict=True):
        draw.text((left + panel_width / 2, top + 16), heading, fill=_INK, font=large, anchor="mm")
    top += 34
    for row, line, row_height in zip(rows, pictures, heights, strict=True):
        if caption:
            draw.text((_GAP, top + 2), row.caption, fill=_FAINT, font=medium)
            top += caption
        for left, picture in zip(lefts, line, strict=True):
            sheet.paste(Image.fromarray(picture), (left, top))
        top += row_height + _GAP
    _draw_legend(sheet, top)
    with replacing(path) as temporary:
        sheet.save(temporary)


def class_colour(index: int, instance: int = 0) -> tuple[int, int, int]:
    """RGB of a class, unlike that of its neighbours in the split; instances vary in lightness."""
    hue = (index * 0.618034 + 0.55) % 1.0
    lightness = (0.5, 0.62, 0.4, 0.7, 0.33)[instance % 5]
    saturation = (0.75, 0.55, 0.95)[index % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def _resize(image: np.ndarray, scale: float) -> np.ndarray:
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _edges(ids: np.ndarray, width: int) -> np.ndarray:
    """Where two segments meet, ``width`` pixels wide."""
    edges = np.zeros(ids.shape, dtype=bool)
    edges[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edges[1:] |= ids[1:] != ids[:-1]
    return ndimage.binary_dilation(edges, iterations=width - 1) if width > 1 else edges


def _draw_labels(
    canvas: Image.Image,
    ids: np.ndarray,
    segments: Sequence[Mapping[str, Any]],
    split: ClassSplit,
) -> None:
    """Labels, unseen classes and large segments first; one that would hide another is left out."""
    draw = ImageDraw.Draw(canvas, "RGBA")
    size = max(11, round(min(canvas.size) / 24))
    font = _font(size)
    areas = {segment["id"]: int((ids == segment["id"]).sum()) for segment in segments}

    def priority(segment: Mapping[str, Any]) -> tuple[bool, int]:
        return not split.classes[segment["category_id"]].unseen, -areas[segment["id"]]

    taken: list[tuple[float, float, float, float]] = []
    for segment in sorted(segments, key=priority):
        info = split.classes[segment["category_id"]]
        if areas[segment["id"]] < (1 if info.unseen else size * size):
            continue
        star = size + 3 if info.unseen else 0
        text_width = draw.textlength(info.name, font=font) + star
        box = _place((text_width + 8, size + 6), ids == segment["id"], taken)
        if box is None:
            continue
        taken.append(box)
        fill = (*UNSEEN_COLOUR, 240) if info.unseen else (*_SEEN_COLOUR, 180)
        draw.rounded_rectangle(box, radius=4, fill=fill)
        middle = (box[1] + box[3]) / 2
        if star:
            draw.polygon(_star(box[0] + 4 + size / 2, middle, size * 0.45), fill=_INK)
        ink = _INK if info.unseen else (255, 255, 255)
        draw.text((box[0] + 4 + star, middle), info.name, fill=ink, font=font, anchor="lm")


def _place(
    size: tuple[float, float],
    mask: np.ndarray,
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float] | None:
    """A free box (x0, y0, x1, y1), as deep inside ``mask`` as can be; None if none is."""
    height, width = mask.shape
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    step = size[1] + 2
    for shift in (0, -step, step, -2 * step, 2 * step):
        left = min(max(x - size[0] / 2, 1), width - size[0] - 1)
        top = min(max(y + shift - size[1] / 2, 1), height - size[1] - 1)
        box = (left, top, left + size[0], top + size[1])
        if not any(_overlap(box, other) for other in taken):
            return box
    return None


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _star(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Corners of a five-pointed star."""
    corners = []
    for corner in range(10):
        distance = radius if corner % 2 == 0 else 0.42 * radius
        angle = math.pi * (corner / 5 - 0.5)
        corners.append((x + distance * math.cos(angle), y + distance * math.sin(angle)))
    return corners


def _draw_legend(sheet: Image.Image, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    font = _font(16)
    entries = (
        ("unseen class: no label of it in training", UNSEEN_COLOUR),
        ("seen class", _SEEN_COLOUR),
        ("unlabelled", _VOID_COLOUR),
    )
    left, middle = _GAP, top + 16
    for text, colour in entries:
        corner = 0 if colour == _VOID_COLOUR else 4
        box = (left, middle - 10, left + 34, middle + 10)
        draw.rounded_rectangle(box, radius=corner, fill=colour)
        if colour == UNSEEN_COLOUR:
            draw.polygon(_star(left + 17, middle, 8), fill=_INK)
        elif colour == _SEEN_COLOUR:
            draw.text((left + 17, middle), "a", fill=_PAGE, font=font, anchor="mm")
        draw.text((left + 42, middle), text, fill=_INK, font=font, anchor="lm")
        left += 42 + int(draw.textlength(text, font=font)) + 3 * _GAP


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
