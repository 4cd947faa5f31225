"""What passes for a run-length code."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from pading.data.rle import check_rle
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
