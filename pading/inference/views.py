"""Looking at images more than once: at several scales, mirrored, by windows."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from pading.inference.settings import InferenceSettings
from pading.inference.windows import Scores, at_size, windowed


def at_sizes(
    scores: Scores,
    images: Tensor,
    sizes: Sequence[tuple[int, int]],
    align_corners: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Raw scores of images that are looked at in several sizes.

    Args:
        scores: (B, 3, h, w) to raw scores (B, K, ., .), which are enlarged to the images' size.
        images: (B, 3, H, W), normalised.
        sizes: heights and widths.
        align_corners: of the resizing, of the images and of the scores.
        reduction: what is given of the scores at all sizes.

    Returns:
        (B, K, H, W) in float32.
    """
    own = (images.shape[-2], images.shape[-1])
    views = []
    for size in sizes:
        view = images
        if size != own:
            view = F.interpolate(images, size, mode="bilinear", align_corners=align_corners)
        views.append(at_size(scores(view), own, align_corners))
    total = sum(views[1:], views[0])
    return total / len(views) if reduction == "mean" else total


def with_mirrored(scores: Scores, reduction: Literal["mean", "sum"] = "mean") -> Scores:
    """A function to the scores of an image and of its mirror image, mirrored back, in one."""

    def both(image: Tensor) -> Tensor:
        total = scores(image).float() + scores(image.flip(-1)).flip(-1).float()
        return total / 2 if reduction == "mean" else total

    return both


def look_at(scores: Scores, images: Tensor, settings: InferenceSettings) -> Tensor:
    """Class scores of images of one size, the mean over all views that are asked for.

    Args:
        scores: (B, 3, H, W) to raw scores (B, K, h, w).
        images: (B, 3, H, W), normalised.
        settings: scales, flip, window, stride and window_batch are read.

    Returns:
        (B, K, h, w): what ``scores`` gives where there is one view; else (B, K, H, W) in float32.
    """

    def by_windows(view: Tensor) -> Tensor:
        if settings.window is None:
            return scores(view)
        stride = settings.stride or settings.window
        return windowed(scores, view, settings.window, stride, settings.window_batch)

    if settings.scales == (1.0,) and not settings.flip:
        return by_windows(images)
    height, width = images.shape[-2:]
    sizes = [
        (max(1, round(height * scale)), max(1, round(width * scale))) for scale in settings.scales
    ]
    return at_sizes(with_mirrored(by_windows) if settings.flip else by_windows, images, sizes)
