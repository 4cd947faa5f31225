"""LSeg's own way of looking at an image at several scales, by windows and mirrored (section 5).

Scales are of a base size rather than of the image; what is smaller than a window is padded to it,
and so is the last window of an axis (where others shift it inward).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pading.models.lseg.fusion import enlarged

Scores = Callable[[Tensor], Tensor]
"""(1, 3, S, S) to (1, K, S, S)."""


def multiscale_scores(
    scores: Scores,
    image: Tensor,
    *,
    base_size: int,
    crop: int,
    stride: int,
    scales: Sequence[float],
    flip: bool,
    black: Tensor,
) -> Tensor:
    """Raw scores of an image, the mean over all views.

    Args:
        scores: of squares of one size.
        image: (1, 3, H, W), normalised.
        base_size: length of the image's longer side at scale 1.
        crop: side of the windows.
        stride: of the windows.
        scales: relative to the base size.
        flip: look at every window mirrored as well.
        black: (3, 1, 1), what a black pixel is after the normalisation; fills what is padded.

    Returns:
        (1, K, H, W).
    """
    size = (image.shape[-2], image.shape[-1])

    def looked_at(window: Tensor) -> Tensor:
        height, width = window.shape[-2:]
        square = black.expand(1, 3, crop, crop).clone()
        square[..., :height, :width] = window
        found = scores(square)
        if flip:
            found = (found + scores(square.flip(-1)).flip(-1)) / 2
        return found

    views = []
    for scale in scales:
        scaled = enlarged(image, _scaled(size, math.ceil(base_size * scale)))
        views.append(enlarged(_by_windows(looked_at, scaled, crop, stride), size))
    return sum(views[1:], views[0]) / len(views)


def _scaled(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """The image's size with that longer side; the other is rounded half up."""
    height, width = size
    if height > width:
        return longer, int(width * longer / height + 0.5)
    return int(height * longer / width + 0.5), longer


def _by_windows(looked_at: Scores, image: Tensor, crop: int, stride: int) -> Tensor:
    """Scores of an image of any size; (1, K, H, W)."""
    height, width = image.shape[-2:]
    total = torch.zeros(())
    hits = image.new_zeros(height, width)
    for top in _starts(height, crop, stride):
        for left in _starts(width, crop, stride):
            window = image[..., top : top + crop, left : left + crop]
            h, w = window.shape[-2:]
            found = looked_at(window)[..., :h, :w]
            if not total.dim():
                total = found.new_zeros(*found.shape[:2], height, width)
            total[..., top : top + h, left : left + w] += found
            hits[top : top + h, left : left + w] += 1
    return total / hits


def _starts(length: int, crop: int, stride: int) -> list[int]:
    count = math.ceil(max(length - crop, 0) / stride) + 1
    return [i * stride for i in range(count)]
