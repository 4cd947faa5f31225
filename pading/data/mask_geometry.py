"""Boxes that follow from instance masks, and declared ones compared with them.

A box is [x, y, width, height] in pixels, as COCO has it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pycocotools import mask as coco_mask

from pading.errors import InputError

Mask = Mapping[str, Any] | Sequence[Sequence[float]]
"""RLE, or polygons of three corners and more."""
_ROUNDING = 0.02  # COCO writes two decimals
_SAME, _OTHER = 0.8, 0.5


def compressed(mask: Mask, size: Sequence[int]) -> Mapping[str, Any]:
    """A checked mask as one compressed run-length code.

    Args:
        mask: see above.
        size: height and width of the image.
    """
    if isinstance(mask, Mapping) and isinstance(mask["counts"], str):
        return mask
    code = coco_mask.frPyObjects(mask, *size)
    return coco_mask.merge(code) if isinstance(code, list) else code


def box_of(mask: Mask, size: Sequence[int]) -> list[float]:
    """The extent of the corners of polygons, as COCO computes it, or of the pixels of RLE."""
    if isinstance(mask, Mapping):
        return coco_mask.toBbox(compressed(mask, size)).tolist()
    sides = [[value for polygon in mask for value in polygon[axis::2]] for axis in (0, 1)]
    (left, top), (right, bottom) = map(min, sides), map(max, sides)
    return [left, top, right - left, bottom - top]


def is_box_of(box: Sequence[float], mask: Mask, size: Sequence[int]) -> bool:
    """Whether a box is that of the mask but for rounding: of its corners, or of its pixels."""
    if _is_same(box, box_of(mask, size)):
        return True
    return _is_same(box, coco_mask.toBbox(compressed(mask, size)).tolist())


def _is_same(box: Sequence[float], other: Sequence[float]) -> bool:
    pairs = zip(_corners(box), _corners(other), strict=True)
    return all(abs(a - b) <= _ROUNDING for a, b in pairs)


def refuse_other_boxes(box: Sequence[float], measured: Sequence[float], where: str) -> None:
    """Refuse a box that is the mask's if read in another way: as corners, or shares of the image.

    Args:
        box: as declared.
        measured: that of the mask.
        where: names file and entry.

    Raises:
        InputError: names the box and what it seems to be.
    """
    if overlap(box, measured) >= _OTHER:
        return
    corners = [*box[:2], box[2] - box[0], box[3] - box[1]]
    seems = ""
    if min(corners[2:]) > 0 and overlap(corners, measured) >= _SAME:
        seems = "[x, y, x, y], two corners"
    elif max(box) <= 1 < max(measured):
        seems = "in shares of the image, from 0 to 1"
    if seems:
        raise InputError(
            f"{where}: the bbox {list(box)!r:.80} seems to be {seems}; write [x, y, width, height] "
            "in pixels, or leave it out: it follows from the mask"
        )


def overlap(box: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union."""
    crowd = [0]
    return float(coco_mask.iou([list(map(float, box))], [list(map(float, other))], crowd)[0, 0])


def _corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]
