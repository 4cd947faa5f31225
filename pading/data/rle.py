"""COCO's run-length codes, written and checked in NumPy alone.

pycocotools reads beyond the end of a broken one; and what writes results need not have it.
"""

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


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """A mask's run-length code, as pycocotools writes it.

    Args:
        mask: (H, W) bool.

    Returns:
        "size" [H, W], and "counts" as text.
    """
    flat = mask.T.ravel()  # column by column
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    start = [0, 0] if len(flat) and flat[0] else [0]  # a code begins with what is outside
    runs = np.diff(np.concatenate((start, changes, [len(flat)])))
    values = runs.copy()
    values[3:] -= runs[1:-2]
    characters = np.zeros((len(values), _MOST_CHARACTERS), dtype=np.uint8)
    more = np.ones(len(values), dtype=bool)
    for place in range(_MOST_CHARACTERS):
        group = values & 31
        values = values >> 5
        goes_on = np.where(group & 16, values != -1, values != 0)
        characters[:, place] = np.where(more, group + 32 * goes_on + 48, 0)
        more &= goes_on
    text = characters[characters > 0].tobytes().decode("ascii")
    return {"size": list(mask.shape), "counts": text}


def decode_mask(code: Mapping[str, Any]) -> np.ndarray:
    """The mask (H, W), bool, of a run-length code of :func:`encode_mask`."""
    height, width = code["size"]
    runs = _decode_runs(code["counts"])
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def mask_box(mask: np.ndarray) -> list[float]:
    """x, y, width and height of the box around a mask (H, W) bool; 0 where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return [0.0, 0.0, 0.0, 0.0]
    x, y = int(columns[0]), int(rows[0])
    return [float(x), float(y), float(columns[-1] + 1 - x), float(rows[-1] + 1 - y)]


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
