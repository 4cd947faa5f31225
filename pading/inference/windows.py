"""Sliding windows: any function of images to class scores, on images larger than it takes."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Scores = Callable[[Tensor], Tensor]
"""(B, 3, H, W) to (B, K, h, w)."""


Border = Literal["shift", "pad"]
"""What becomes of a window that reaches beyond the image."""


def windowed(
    scores: Scores,
    images: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int],
    batch: int = 4,
    border: Border = "shift",
    fill: Tensor | None = None,
) -> Tensor:
    """Scores of images by windows, averaged where they overlap.

    Args:
        scores: of windows that are all of one size; their score maps are enlarged to it.
        images: (B, 3, H, W).
        window, stride: height and width, in pixels.
        batch: windows that are looked at together, of one image or of several.
        border: "shift": the last window of each axis is shifted inward, so that every window is
            whole, as in mmsegmentation; an image that is smaller than the window is one window of
            its own size. "pad": it is cut at the border and padded right and below to the window's
            size; so is a smaller image.
        fill: (3,), what windows are padded with; None: 0, the mean colour of normalised images.

    Returns:
        (B, K, H, W) in float32.
    """
    height, width = images.shape[-2:]
    size = window if border == "pad" else (min(window[0], height), min(window[1], width))
    places = [
        (number, top, left)
        for number in range(len(images))
        for top in _starts(height, size[0], stride[0], border)
        for left in _starts(width, size[1], stride[1], border)
    ]
    total = torch.zeros(())
    hits = images.new_zeros(height, width)  # of every image
    for first in range(0, len(places), batch):
        group = places[first : first + batch]
        pieces = torch.cat([_piece(images, place, size, fill) for place in group])
        found = at_size(scores(pieces), size)
        if not total.dim():
            total = found.new_zeros(len(images), found.shape[1], height, width)
        for piece, (number, top, left) in zip(found, group, strict=True):
            inside = total[number, :, top : top + size[0], left : left + size[1]]
            inside += piece[:, : inside.shape[1], : inside.shape[2]]
            if number == 0:
                hits[top : top + size[0], left : left + size[1]] += 1
    return total / hits


def at_size(scores: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """(B, K, h, w) scores at another size, in float32."""
    if scores.shape[-2:] == size:
        return scores.float()
    return F.interpolate(scores.float(), size, mode="bilinear", align_corners=align_corners)


def _piece(
    images: Tensor, place: tuple[int, int, int], size: tuple[int, int], fill: Tensor | None
) -> Tensor:
    """The window (1, 3, h, w) at a place, padded to its size where it reaches beyond the image."""
    number, top, left = place
    piece = images[number : number + 1, :, top : top + size[0], left : left + size[1]]
    height, width = piece.shape[-2:]
    if (height, width) == size:
        return piece
    padded = piece.new_zeros(*piece.shape[:2], *size)
    if fill is not None:
        padded += fill.to(piece)[:, None, None]
    padded[..., :height, :width] = piece
    return padded


def _starts(length: int, window: int, stride: int, border: Border) -> list[int]:
    """Where windows begin along an axis, so that they cover it."""
    starts = [i * stride for i in range(math.ceil(max(length - window, 0) / stride) + 1)]
    return starts if border == "pad" else [min(start, length - window) for start in starts]
