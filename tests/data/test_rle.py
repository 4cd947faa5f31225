"""What passes for a run-length code."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from pading.data.rle import check_rle, decode_mask, encode_mask, mask_box
from pading.errors import InputError


def test_run_length_codes(seed: int) -> None:
    """Codes of random masks pass; cut off or with any other sum, they do not."""
    generator = np.random.default_rng(seed)
    for density in (0.0, 0.01, 0.5, 1.0):
        height, width = (int(side) for side in generator.integers(1, 300, 2))
        mask = np.asfortranarray(generator.random((height, width)) < density, dtype=np.uint8)
        code = coco_mask.encode(mask)
        counts = code["counts"].decode()
        size = list(code["size"])
        check_rle({"size": size, "counts": counts}, size, "here")
        for broken in (counts[:-1], counts + "1", counts + "P", "", "\u00e9"):
            with pytest.raises(InputError, match="here: broken RLE"):
                check_rle({"size": size, "counts": broken}, size, "here")
    check_rle({"size": [2, 3], "counts": [1, 2, 3]}, [2, 3], "here")
    with pytest.raises(InputError, match="here: broken RLE"):
        check_rle({"size": [2, 3], "counts": [1, -2, 7]}, [2, 3], "here")


def test_codes_and_boxes_are_those_of_pycocotools(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for density in (0.0, 0.001, 0.5, 1.0):
        height, width = (int(side) for side in generator.integers(1, 300, 2))
        coarse = generator.random((height, width)) < density
        blocks = np.kron(coarse[: height // 9 + 1, : width // 9 + 1], np.ones((9, 9))) > 0
        for mask in (coarse, blocks[:height, :width], np.zeros((2000, 900), bool)):
            code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            assert encode_mask(mask) == {"size": code["size"], "counts": code["counts"].decode()}
            assert (decode_mask(encode_mask(mask)) == mask).all()
            assert mask_box(mask) == coco_mask.toBbox(code).tolist()
