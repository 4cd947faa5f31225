"""Bilinear resizing in NumPy, one axis at a time, as PyTorch has it."""

from typing import NamedTuple

import numpy as np


class Taps(NamedTuple):
    """One axis of a resizing: every new position is a mixture of a few old ones.

    Args:
        places: (n, t) int64, which positions.
        share: (n, t) float32, how much of each.
    """

    places: np.ndarray
    share: np.ndarray

    def first(self, length: int) -> "Taps":
        """Of the first positions alone."""
        return Taps(self.places[:length], self.share[:length])

    def after(self, earlier: "Taps") -> "Taps":
        """This resizing and an earlier one as one."""
        share = self.share[:, :, None] * earlier.share[self.places]
        index = earlier.places[self.places]
        return Taps(index.reshape(len(index), -1), share.reshape(len(share), -1))

    def apply(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Resize an axis of float32 values."""
        shape = [1] * values.ndim
        shape[axis] = -1
        total = np.take(values, self.places[:, 0], axis) * self.share[:, 0].reshape(shape)
        for index, share in zip(self.places.T[1:], self.share.T[1:], strict=True):
            if share.any():
                total += np.take(values, index, axis) * share.reshape(shape)
        return total


def taps(length: int, wanted: int, align_corners: bool = False) -> Taps:
    """From a length to another.

    Args:
        length: of the axis as it is.
        wanted: as it is to be.
        align_corners: first on first and last on last; else edges on edges.
    """
    place = np.arange(wanted, dtype=np.float32)
    if align_corners:
        place = place * np.float32((length - 1) / max(wanted - 1, 1))
    elif length != wanted:
        place = np.maximum((place + np.float32(0.5)) * np.float32(length / wanted) - 0.5, 0)
    low = np.minimum(place.astype(np.int64), length - 1)
    beyond = (place - low).astype(np.float32)
    index = np.stack((low, np.minimum(low + 1, length - 1)), axis=1)
    return Taps(index, np.stack((1 - beyond, beyond), axis=1))


def resized(values: np.ndarray, size: tuple[int, int], align_corners: bool = False) -> np.ndarray:
    """(..., h, w) float32 at another size; those of this size are given back."""
    if values.shape[-2:] == size:
        return values
    for axis in (-1, -2):
        there = values.shape[axis]
        if there != size[axis]:
            values = taps(there, size[axis], align_corners).apply(values, axis)
    return values
