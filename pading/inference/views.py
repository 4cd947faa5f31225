"""Looking at an image more than once: at several scales, mirrored, by windows."""

from torch import Tensor
from torch.nn import functional as F

from pading.inference.settings import InferenceSettings
from pading.inference.windows import Scores, at_size, windowed


def look_at(scores: Scores, image: Tensor, settings: InferenceSettings) -> Tensor:
    """Class scores of an image, the mean over all views that are asked for.

    Args:
        scores: (B, 3, H, W) to raw scores (B, K, h, w).
        image: (1, 3, H, W), normalised.
        settings: scales, flip, window and stride are read.

    Returns:
        (1, K, h, w): what ``scores`` gives where there is one view; else (1, K, H, W) in float32.
    """
    if settings.scales == (1.0,) and not settings.flip:
        return _by_windows(scores, image, settings)
    size = (image.shape[-2], image.shape[-1])
    views = []
    for scale in settings.scales:
        scaled = image
        if scale != 1:
            wanted = [max(1, round(side * scale)) for side in size]
            scaled = F.interpolate(image, wanted, mode="bilinear", align_corners=False)
        views.append(at_size(_by_windows(scores, scaled, settings), size))
        if settings.flip:
            mirrored = at_size(_by_windows(scores, scaled.flip(-1), settings), size)
            views.append(mirrored.flip(-1))
    return sum(views[1:], views[0]) / len(views)


def _by_windows(scores: Scores, image: Tensor, settings: InferenceSettings) -> Tensor:
    if settings.window is None:
        return scores(image)
    return windowed(scores, image, settings.window, settings.stride or settings.window)
