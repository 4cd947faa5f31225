"""Scores of one-class-against-others episodes by folds: mIoU and FB-IoU.

Of zero- and few-shot segmentation (PASCAL-5i, COCO-20i, FSS-1000): an episode asks for one class in
one image, and every pixel is that class or background.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pading.errors import InputError


class Areas(NamedTuple):
    """Pixels of one episode, or of several by class; background first, then the class."""

    intersection: np.ndarray
    """(2,) or (2, N)."""
    union: np.ndarray
    """The same shape."""


class FoldScores(NamedTuple):
    """In per cent."""

    miou: float
    """Mean over the fold's classes of the class's IoU; a class without an episode counts 0."""
    fb_iou: float
    """Mean of the IoUs of background and class, summed over all episodes."""
    iou: dict[int, float]
    """Of each class."""


def episode_areas(
    prediction: np.ndarray, target: np.ndarray, ignored: np.ndarray | None = None
) -> Areas:
    """Count an episode's pixels.

    Args:
        prediction: (H, W), 1 where the class is said to be, else 0.
        target: (H, W), likewise.
        ignored: (H, W), true where nothing is counted.

    Raises:
        InputError: the maps have different sizes.
    """
    if prediction.shape != target.shape:
        raise InputError(
            f"a prediction of {prediction.shape} for a target of {target.shape} (height, width); "
            "predict at the target's size"
        )
    counted = np.ones(target.shape, bool) if ignored is None else ~ignored.astype(bool)
    said, true = prediction.astype(bool)[counted], target.astype(bool)[counted]
    intersection = np.array([(~said & ~true).sum(), (said & true).sum()])
    union = np.array([(~said | ~true).sum(), (said | true).sum()])
    return Areas(intersection, union)


def score_fold(
    episodes: Iterable[tuple[int, Areas]], classes: Sequence[int]
) -> FoldScores:
    """Scores of a fold.

    Args:
        episodes: the class that each asks for, and its pixels.
        classes: the fold's.

    Raises:
        InputError: an episode of a class that the fold has not.
    """
    place = {label: i for i, label in enumerate(classes)}
    intersection, union = np.zeros((2, len(classes))), np.zeros((2, len(classes)))
    for label, areas in episodes:
        if label not in place:
            raise InputError(
                f"an episode asks for class {label}, but the fold has {sorted(place)}; "
                "score it with its own fold"
            )
        intersection[:, place[label]] += areas.intersection
        union[:, place[label]] += areas.union
    iou = 100 * intersection[1] / np.maximum(union[1], 1)
    both = 100 * intersection.sum(1) / np.maximum(union.sum(1), 1)
    return FoldScores(
        float(iou.mean()), float(both.mean()), dict(zip(classes, iou.tolist(), strict=True))
    )
