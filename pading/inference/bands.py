"""Masks of queries at an image's size, a band of rows at a time.

At full size the masks of a hundred queries are a hundred megabytes. Writing them, and reading them
once for each kind of result, takes a CPU longer than the sums themselves. A band stays in its
cache, and all kinds of results read it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from pading.layers.resizing_matrices import interpolation

_CPU_BAND = 2**20  # numbers in the masks of a band: 4 MB, which stay in the last cache


class Band(NamedTuple):
    """Some rows of all masks."""

    rows: slice
    masks: Tensor
    """(Q, rows, W) mask logits."""
    chances: Tensor
    """Their sigmoid."""

    def of(self, queries: Tensor) -> "Band":
        """The same rows of chosen queries, (N,) int64."""
        if len(queries) == len(self.masks):
            return self
        return Band(self.rows, self.masks[queries], self.chances[queries])


class Part(Protocol):
    """A kind of result, which is made of bands."""

    queries: Tensor
    """(N,) int64, in order and each once: whose masks it takes."""

    def take(self, band: Band) -> None:
        """Add the next rows, of its own queries."""


class Enlarged(NamedTuple):
    """Masks (Q, h, w) and how they come to an image's size: linear, in each axis by itself."""

    masks: Tensor
    down: Tensor
    """(H, h)."""
    widths: tuple[int, int, int]
    """Of the padded image, of the image in it, and W, which is wanted."""

    @classmethod
    def to(
        cls,
        masks: Tensor,
        padded: tuple[int, int],
        size: tuple[int, int],
        wanted: tuple[int, int],
    ) -> "Enlarged":
        """Enlarged to the padded image, cut to the image, and resized to what is wanted.

        Args:
            masks: (Q, h, w) mask logits, float32.
            padded, size, wanted: see :class:`~pading.structures.ImageSizes`.
        """
        heights, widths = zip(padded, size, wanted, strict=True)
        down = _matrix(masks.shape[-2], heights, masks)
        return cls(masks, down.T.contiguous(), widths)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.down.shape[0], self.widths[-1]

    def bands(self, queries: Tensor) -> Iterator[Band]:
        """The masks of queries (N,), from the top down."""
        height, width = self.size
        masks = self.masks if len(queries) == len(self.masks) else self.masks[queries]
        rows = height
        if masks.device.type == "cpu":
            rows = max(1, _CPU_BAND // max(1, len(masks) * width))
        for top in range(0, height, rows):
            down = self.down[top : top + rows]
            # Of the source, the few rows that these are made of.
            used = down.any(0).nonzero()[:, 0]
            first, last = int(used[0]), int(used[-1]) + 1
            logits = down[:, first:last] @ self._across(masks[:, first:last])
            yield Band(slice(top, top + rows), logits, logits.sigmoid())

    def _across(self, rows: Tensor) -> Tensor:
        """(N, r, w) to the wanted width."""
        padded, own, wanted = self.widths
        if rows.device.type == "cpu":  # a third of the time of a product
            return _lengthened(_lengthened(rows, padded)[..., :own], wanted)
        return rows @ _matrix(rows.shape[-1], self.widths, rows)


def _matrix(source: int, lengths: tuple[int, int, int], like: Tensor) -> Tensor:
    """(source, wanted), along one axis of masks: to a padded length, cut, and resized."""
    padded, own, wanted = lengths
    return interpolation(source, padded, like)[:, :own] @ interpolation(own, wanted, like)


def _lengthened(rows: Tensor, length: int) -> Tensor:
    """(N, r, w) to (N, r, length), bilinearly."""
    if rows.shape[-1] == length:
        return rows
    return F.interpolate(rows.flatten(0, 1)[None], length, mode="linear")[0].unflatten(
        0, rows.shape[:2]
    )


def make(parts: Sequence[Part], enlarged: Enlarged) -> None:
    """Let every part take its queries' masks."""
    needed = torch.cat([part.queries for part in parts]).unique()
    if not len(needed):
        return
    places = [torch.searchsorted(needed, part.queries) for part in parts]
    for band in enlarged.bands(needed):
        for part, place in zip(parts, places, strict=True):
            if len(place):
                part.take(band.of(place))
