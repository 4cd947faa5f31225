"""Scores of one-class-against-others episodes by folds: mIoU and FB-IoU.

Of zero- and few-shot segmentation (PASCAL-5i, COCO-20i, FSS-1000): an episode asks for one class in
one image, and every pixel is that class or background.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pading.data.masks import IGNORE_LABEL, semantic_labels
from pading.errors import InputError
from pading.evaluation.evaluator import TaskEvaluator
from pading.evaluation.groups import Scores
from pading.vocabulary.fold_splits import OTHERS
from pading.vocabulary.splits import ClassSplit

TASK = "fold_seg"


class Areas(NamedTuple):
    """Pixels of one episode, or of several by class; background first, then the class."""

    intersection: np.ndarray
    """(2,) or (2, N)."""
    union: np.ndarray
    """The same shape."""

    def times(self, number: int) -> "Areas":
        """Those of so many equal episodes."""
        return Areas(self.intersection * number, self.union * number)


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


def score_fold(episodes: Iterable[tuple[int, Areas]], classes: Sequence[int]) -> FoldScores:
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


class FoldEvaluator(TaskEvaluator):
    """Asks for every unseen class in every image that shows it, against "others".

    Of a data set with a file of pairs, what it asks for is asked, as often as it says.

    A pixel is of the class where its score in ``sem_seg`` is above that of "others": what a choice
    between these two labels alone gives, since scores of labels do not depend on one another.

    Args:
        split: of a fold.
    """

    def __init__(self, split: ClassSplit) -> None:
        super().__init__()
        self._split = split

    def record(self, image: Mapping[str, Any], output: Mapping[str, Any]) -> dict[int, Areas]:
        labels = semantic_labels(image)
        scores = output["sem_seg"]
        others = scores[self._split.names.index(OTHERS)]
        present = set(np.unique(labels).tolist()) & set(self._split.unseen)
        asked: Mapping[int, int] = image.get("asked") or dict.fromkeys(sorted(present), 1)
        return {
            label: episode_areas(
                (scores[label] > others).cpu().numpy(), labels == label, labels == IGNORE_LABEL
            ).times(times)
            for label, times in asked.items()
        }

    def score(self, records: Mapping[Any, Any]) -> tuple[Scores, ...]:
        episodes = [episode for areas in records.values() for episode in areas.items()]
        found = score_fold(episodes, self._split.unseen)
        classes = {
            self._split.names[label]: {"seen": False, "iou": iou}
            for label, iou in found.iou.items()
        }
        figures = {"mIoU": found.miou, "FB-IoU": found.fb_iou}
        return (Scores(TASK, {"all": figures}, classes),)
