"""The labels of a picture's segments, placed so that none covers another."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from pading.vocabulary.splits import ClassSplit

UNSEEN_COLOUR = (255, 214, 10)
SEEN_COLOUR = (20, 20, 20)
INK = (25, 25, 25)
# Labels are placed on a grid of at most so many points along the longer side.
_GRID = 160

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def draw_labels(
    canvas: Image.Image,
    places: np.ndarray,
    segments: Sequence[Mapping[str, Any]],
    split: ClassSplit,
) -> None:
    """Name the segments on ``canvas``, unseen classes and large segments first.

    A segment without room for a label inside or beside it gets none; nor does a seen one that is
    smaller than a letter.

    Args:
        canvas: RGB, H x W.
        places: H x W, the place of each pixel's segment in ``segments`` from 1; 0 for none.
        segments: "category_id" and perhaps "score" of each.
        split: the classes.
    """
    draw = ImageDraw.Draw(canvas, "RGBA")
    size = max(13, round(min(canvas.size) / 30))
    text_font = font(size)
    areas = np.bincount(places.ravel(), minlength=len(segments) + 1)[1:].tolist()

    def priority(place: int) -> tuple[bool, int]:
        return not split.classes[segments[place]["category_id"]].unseen, -areas[place]

    taken: list[Box] = []
    step = max(1, math.ceil(max(canvas.size) / _GRID))
    first, second = (min(step // 2, length - 1) for length in places.shape)
    grid = places[first::step, second::step]
    for place in sorted(range(len(segments)), key=priority):
        info = split.classes[segments[place]["category_id"]]
        if areas[place] < (1 if info.unseen else size * size):
            continue
        score = segments[place].get("score")
        text = info.name if score is None else f"{info.name} {100 * score:.0f}%"
        star = size + 3 if info.unseen else 0
        width, height = draw.textlength(text, font=text_font) + star + 8, size + 6
        mask = grid == place + 1
        if not mask.any():  # thinner than the grid
            row, column = np.argwhere(places == place + 1)[0]
            mask[min(row // step, len(mask) - 1), min(column // step, mask.shape[1] - 1)] = True
        box = None
        own = _bounds(mask, step)
        if (own[2] - own[0]) * (own[3] - own[1]) < 3 * width * height:
            # A label would cover all of it: rather beside.
            box = _free_box((width, height), mask, step, canvas.size, [*taken, own])
        box = box or _free_box((width, height), mask, step, canvas.size, taken)
        if box is None:
            continue
        taken.append(box)
        fill = (*UNSEEN_COLOUR, 240) if info.unseen else (*SEEN_COLOUR, 180)
        draw.rounded_rectangle(box, radius=4, fill=fill)
        middle = (box[1] + box[3]) / 2
        if star:
            draw.polygon(star_shape(box[0] + 4 + size / 2, middle, size * 0.45), fill=INK)
        ink = INK if info.unseen else (255, 255, 255)
        draw.text((box[0] + 4 + star, middle), text, fill=ink, font=text_font, anchor="lm")


def _bounds(mask: np.ndarray, step: int) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom = int(rows[0]) * step, int(rows[-1] + 1) * step
    return int(columns[0]) * step, top, int(columns[-1] + 1) * step, bottom


def _free_box(
    size: tuple[float, float],
    mask: np.ndarray,
    step: int,
    canvas: tuple[int, int],
    taken: Sequence[Box],
) -> Box | None:
    """A free box as deep inside ``mask`` as can be, or close beside it; None if there is none.

    Args:
        size: width and height of the box.
        mask: the segment on a grid of every ``step``-th pixel; not empty.
        step: see ``mask``.
        canvas: width and height of the picture.
        taken: boxes that it may not touch.
    """
    width, height = size
    rows = np.arange(mask.shape[0]) * step + step // 2
    columns = np.arange(mask.shape[1]) * step + step // 2
    # Distance to the border, positive inside; the picture's own border is one.
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    depth -= ndimage.distance_transform_edt(~mask)
    lefts = np.clip(columns - width / 2, 1, max(1, canvas[0] - width - 1))
    tops = np.clip(rows - height / 2, 1, max(1, canvas[1] - height - 1))
    for left, top, right, bottom in taken:
        across = (lefts < right + 2) & (lefts + width + 2 > left)
        down = (tops < bottom + 2) & (tops + height + 2 > top)
        depth[np.ix_(down, across)] = -np.inf
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    if depth[row, column] * step < -2 * height:
        return None
    left, top = float(lefts[column]), float(tops[row])
    return left, top, left + width, top + height


def star_shape(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Corners of a five-pointed star around (x, y)."""
    corners = []
    for corner in range(10):
        distance = radius if corner % 2 == 0 else 0.42 * radius
        angle = math.pi * (corner / 5 - 0.5)
        corners.append((x + distance * math.cos(angle), y + distance * math.sin(angle)))
    return corners


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which needs no file of the system."""
    return ImageFont.load_default(size)
