"""From class scores of pixels to results, in NumPy: windows, scales, the mirror image, calibration.

The same as :mod:`pading.inference` and the systems that classify pixels do.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pading.runtime.bilinear import resized
from pading.runtime.description import Description
from pading.runtime.preparation import Sizes
from pading.runtime.query_results import sigmoid, softmax

Scores = Callable[[np.ndarray], np.ndarray]
"""(1, 3, h, w) to class scores (K, ., .)."""


def pixel_results(
    network: Scores, image: np.ndarray, sizes: Sizes, described: Description, keep_scores: bool
) -> dict[str, Any]:
    """Raw results of one image, as :func:`pading.prediction.result.finish` takes them.

    Args:
        network: to raw scores.
        image: (1, 3, H, W), normalised and padded as the model pads images.
        sizes: of the image.
        described: the model's description.
        keep_scores: also give what the results were chosen by, under "scores".
    """
    reading = described.reading

    def probabilities(scores: np.ndarray) -> np.ndarray:
        return sigmoid(scores) if reading["activation"] == "sigmoid" else softmax(scores, 0)

    def chances_of(view: np.ndarray) -> np.ndarray:
        return probabilities(resized(network(view), _size(view)))

    by_itself = reading["averaged"] == "probabilities"
    found = resized(looked_at(chances_of if by_itself else network, image, described), sizes.padded)
    found = found[:, : sizes.image[0], : sizes.image[1]]
    chances = np.array(found if by_itself else probabilities(found), dtype=np.float32)
    chances[list(described.split.seen)] -= np.float32(described.inference["seen_bias"])
    chances = resized(chances, sizes.wanted)
    raw: dict[str, Any] = {"semantic": chances.argmax(0).astype(np.int32)}
    if keep_scores:
        raw["scores"] = {"semantic": chances.astype(np.float16)}
    return raw


def looked_at(scores: Scores, image: np.ndarray, described: Description) -> np.ndarray:
    """Class scores of an image, the mean over all views: what ``scores`` gives of a single one."""
    settings, base_size = described.inference, described.reading.get("base_size")
    if base_size:
        return _at_base_size(scores, image, base_size, described)
    window, flip, scales = settings["window"], settings["flip"], settings["scales"]

    def by_windows(view: np.ndarray) -> np.ndarray:
        if not window:
            return scores(view)
        return windowed(scores, view, window, settings["stride"] or window)

    if scales == [1.0] and not flip:
        return by_windows(image)
    own = _size(image)
    looking = _with_mirrored(by_windows) if flip else by_windows
    sizes = [(max(1, round(own[0] * scale)), max(1, round(own[1] * scale))) for scale in scales]
    views = [resized(looking(resized(image, size)), own) for size in sizes]
    return sum(views[1:], views[0]) / np.float32(len(views))


def _at_base_size(
    scores: Scores, image: np.ndarray, base_size: int, described: Description
) -> np.ndarray:
    """Scales of a base size, by windows that are padded with black, corners on corners."""
    settings, pixels = described.inference, described.pixels
    own = _size(image)
    side = settings["window"][0] if settings["window"] else base_size
    step = settings["stride"][0] if settings["stride"] else side
    black = -np.float32(pixels["mean"]) / np.float32(pixels["std"])
    looking = _with_mirrored(scores) if settings["flip"] else scores
    views = []
    for scale in settings["scales"]:
        longer = math.ceil(base_size * scale)
        size = (
            (longer, int(own[1] * longer / own[0] + 0.5))
            if own[0] > own[1]
            else (int(own[0] * longer / own[1] + 0.5), longer)
        )
        view = resized(image, size, align_corners=True)
        found = windowed(looking, view, (side, side), (step, step), black)
        views.append(resized(found, own, align_corners=True))
    return sum(views[1:], views[0]) / np.float32(len(views))


def windowed(
    scores: Scores,
    image: np.ndarray,
    window: tuple[int, int],
    stride: tuple[int, int],
    black: np.ndarray | None = None,
) -> np.ndarray:
    """Scores of an image by windows, averaged where they overlap.

    Args:
        scores: of windows.
        image: (1, 3, H, W).
        window, stride: height and width.
        black: (3,), what windows are padded with that reach beyond the image; None: the last window
            of each axis is shifted inward instead.

    Returns:
        (K, H, W).
    """
    height, width = _size(image)
    size = (window[0], window[1])
    if black is None:
        size = min(size[0], height), min(size[1], width)
    total = np.zeros(0, dtype=np.float32)
    hits = np.zeros((height, width), dtype=np.float32)
    for top in _starts(height, size[0], stride[0], black is None):
        for left in _starts(width, size[1], stride[1], black is None):
            there = image[..., top : top + size[0], left : left + size[1]]
            rows, columns = _size(there)
            piece = there
            if (rows, columns) != size and black is not None:
                piece = np.broadcast_to(black[:, None, None], (1, 3, *size)).copy()
                piece[..., :rows, :columns] = there
            found = resized(scores(piece), size)
            if not total.size:
                total = np.zeros((len(found), height, width), dtype=np.float32)
            total[:, top : top + rows, left : left + columns] += found[:, :rows, :columns]
            hits[top : top + rows, left : left + columns] += 1
    return total / hits


def _starts(length: int, window: int, stride: int, shifted: bool) -> list[int]:
    """Where windows begin along an axis, so that they cover it."""
    starts = [i * stride for i in range(math.ceil(max(length - window, 0) / stride) + 1)]
    return [min(start, length - window) for start in starts] if shifted else starts


def _with_mirrored(scores: Scores) -> Scores:
    """The mean of the scores of an image and of its mirror image, mirrored back."""
    return lambda image: (scores(image) + scores(image[..., ::-1])[..., ::-1]) / np.float32(2)


def _size(values: np.ndarray) -> tuple[int, int]:
    return values.shape[-2], values.shape[-1]
