"""Sliding windows: any function of images to class scores, on images larger than it takes."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

Scores = Callable[[Tensor], Tensor]
"""(B, 3, H, W) to (B, K, h, w)."""


def windowed(
    scores: Scores, image: Tensor, window: tuple[int, int], stride: tuple[int, int], batch: int = 4
) -> Tensor:
    """Scores of an image by windows, averaged where they overlap.

    The last window of each axis is shifted inward, so that every window is whole, as in
    mmsegmentation. An image that is smaller than the window is one window of its own size.

    Args:
        scores: of windows that are all of one size; their score maps are enlarged to it.
        image: (1, 3, H, W).
        window, stride: height and width, in pixels.
        batch: windows that are looked at together.

    Returns:
        (1, K, H, W).
    """
    height, width = image.shape[-2:]
    size = min(window[0], height), min(window[1], width)
    places = [
        (top, left)
        for top in _starts(height, size[0], stride[0])
        for left in _starts(width, size[1], stride[1])
    ]
    total = torch.zeros(())
    hits = image.new_zeros(height, width)
    for first in range(0, len(places), batch):
        group = places[first : first + batch]
        pieces = torch.cat([image[..., y : y + size[0], x : x + size[1]] for y, x in group])
        found = at_size(scores(pieces), size)
        if not total.dim():
            total = found.new_zeros(1, found.shape[1], height, width)
        for piece, (top, left) in zip(found, group, strict=True):
            total[0, :, top : top + size[0], left : left + size[1]] += piece
            hits[top : top + size[0], left : left + size[1]] += 1
    return total / hits


def at_size(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, K, h, w) scores at another size, in float32."""
    if scores.shape[-2:] == size:
        return scores.float()
    return F.interpolate(scores.float(), size, mode="bilinear", align_corners=False)


def _starts(length: int, window: int, stride: int) -> Iterator[int]:
    """Where windows begin along an axis, so that they cover it."""
    start = 0
    while start + window < length:
        yield start
        start += stride
    yield length - window
