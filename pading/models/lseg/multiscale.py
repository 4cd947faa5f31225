"""LSeg's own way of looking at an image at several scales, by windows and mirrored (section 5).

Scales are of a base size rather than of the image; what is smaller than a window is padded to it,
and so is the last window of an axis (where others shift it inward).
"""

import math
from collections.abc import Sequence

from torch import Tensor

from pading.inference.views import at_sizes, with_mirrored
from pading.inference.windows import Scores, windowed


def multiscale_scores(
    scores: Scores,
    images: Tensor,
    *,
    base_size: int,
    crop: int,
    stride: int,
    scales: Sequence[float],
    flip: bool,
    black: Tensor,
) -> Tensor:
    """Raw scores of images, the mean over all views.

    Args:
        scores: of squares of one size.
        images: (B, 3, H, W), normalised.
        base_size: length of their longer side at scale 1.
        crop: side of the windows.
        stride: of the windows.
        scales: relative to the base size.
        flip: look at every window mirrored as well.
        black: (3, 1, 1), what a black pixel is after the normalisation; fills what is padded.

    Returns:
        (B, K, H, W).
    """
    size = (images.shape[-2], images.shape[-1])

    def by_windows(view: Tensor) -> Tensor:
        looked_at = with_mirrored(scores) if flip else scores
        fill = black.flatten()
        return windowed(looked_at, view, (crop, crop), (stride, stride), 1, "pad", fill)

    sizes = [_scaled(size, math.ceil(base_size * scale)) for scale in scales]
    return at_sizes(by_windows, images, sizes, align_corners=True)


def _scaled(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """The image's size with that longer side; the other is rounded half up."""
    height, width = size
    if height > width:
        return longer, int(width * longer / height + 0.5)
    return int(height * longer / width + 0.5), longer
