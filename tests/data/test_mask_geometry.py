"""Boxes that follow from masks."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from pading.data.mask_geometry import box_of, compressed, is_box_of, refuse_other_boxes
from pading.errors import InputError

_SIZE = (40, 60)


@pytest.fixture
def box(seed: int) -> list[int]:
    """Somewhere inside, and far enough that its corners overlap it by less than a half."""
    generator = np.random.default_rng(seed)
    return [*generator.integers(10, 16, 2).tolist(), *generator.integers(10, 20, 2).tolist()]


@pytest.fixture
def codes(box: list[int]) -> list:
    """The same rectangle as polygon, as run lengths and as compressed ones."""
    x, y, width, height = box
    mask = np.zeros(_SIZE, np.uint8, order="F")
    mask[y : y + height, x : x + width] = 1
    code = coco_mask.encode(mask)
    flat = mask.flatten(order="F")
    runs = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    return [
        [[x, y, x + width, y, x + width, y + height, x, y + height]],
        {"size": list(_SIZE), "counts": runs},
        {"size": list(_SIZE), "counts": code["counts"].decode()},
    ]


def test_boxes_of_masks(box: list[int], codes: list) -> None:
    for code in codes:
        assert box_of(code, _SIZE) == box
        assert coco_mask.area(compressed(code, _SIZE)) == box[2] * box[3]


def test_parts_lie_in_one_box() -> None:
    assert box_of([[1.5, 2, 3, 2, 3, 4], [10, 7, 12, 7, 12, 8.25]], _SIZE) == [1.5, 2, 10.5, 6.25]


def test_boxes_of_a_mask_but_for_rounding(box: list[int], codes: list) -> None:
    for code in codes:
        assert is_box_of([side + 0.005 for side in box], code, _SIZE)
        assert not is_box_of([*box[:2], box[2] + 1, box[3]], code, _SIZE)
    outline = [[1.4, 2, 9.3, 2, 9.3, 8, 1.4, 8]]
    pixels = coco_mask.toBbox(compressed(outline, _SIZE)).tolist()
    assert pixels != box_of(outline, _SIZE)
    assert is_box_of(pixels, outline, _SIZE)


def test_boxes_in_other_units(box: list[int]) -> None:
    x, y, width, height = box
    refuse_other_boxes(box, box, "f")
    refuse_other_boxes([x + 3, y, width, height], box, "f")  # loose, but a box
    with pytest.raises(InputError, match=r"f: the bbox .* two corners; write \[x, y, width, hei"):
        refuse_other_boxes([x, y, x + width, y + height], [x, y, width, height], "f")
    shares = [x / 60, y / 40, width / 60, height / 40]
    with pytest.raises(InputError, match="f: the bbox .* in shares of the image"):
        refuse_other_boxes(shares, box, "f")
