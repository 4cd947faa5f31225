"""Check of COCO's run-length codes: pycocotools reads beyond the end of a broken one."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pading.errors import InputError
from pading.files import field

_MOST_CHARACTERS = 7  # of one run: 35 bits


def check_rle(code: Mapping[str, Any], size: list[int], where: str) -> int:
    """Refuse a run-length code that does not describe a mask of the given size.

    Args:
        code: "size" and "counts", a string or (in ground truth) a list of runs.
        size: [height, width] of the image.
        where: names file and entry in the error.

    Returns:
        the area of the mask, in pixels.

    Raises:
        InputError: another size, or runs that are broken off, negative or do not fill the mask.
    """
    counts = field(code, "counts", (str, list), where)
    if field(code, "size", list, where) != size:
        raise InputError(
            f"{where}: the mask's size is {code['size']}, its image's {size} (height, width); "
            "masks are of the size of the image"
        )
    runs = _decode_runs(counts) if isinstance(counts, str) else _as_array(counts)
    whole = runs.dtype.kind == "i" and runs.ndim == 1 and (runs >= 0).all()
    if not whole or runs.sum() != size[0] * size[1]:
        raise InputError(f"{where}: broken RLE; write the mask again", "corrupt")
    return int(runs[1::2].sum())


def _as_array(counts: list) -> np.ndarray:
    try:
        return np.asarray(counts)
    except ValueError:  # lists of different lengths in a list
        return np.array(["broken"])


def _decode_runs(counts: str) -> np.ndarray:
    """The runs of COCO's compressed code; a negative one where it is no such code.

    Each run is written in 5-bit groups, the lowest first, in characters from "0" on; bit 6 says
    that more follow, the highest bit of the last group is the sign. From the fourth on, a run is
    stored as its difference from the last but one.
    """
    broken = np.array([-1])
    groups = np.frombuffer(counts.encode("ascii", "replace"), dtype=np.uint8).astype(np.int64) - 48
    if not len(groups) or (groups < 0).any() or (groups > 63).any() or groups[-1] & 32:
        return broken
    last = np.flatnonzero(groups & 32 == 0)
    first = np.append(0, last[:-1] + 1)
    length = last - first + 1
    if length.max() > _MOST_CHARACTERS:
        return broken
    place = np.arange(len(groups)) - np.repeat(first, length)
    runs = np.add.reduceat((groups & 31) << (5 * place), first)
    runs -= np.where(groups[last] & 16, 1 << (5 * length), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
