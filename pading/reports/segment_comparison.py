"""A prediction against the ground truth of its image: quality, confusion, what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pading.visualize import SegmentMap
from pading.vocabulary.splits import ClassSplit

_MATCH = 0.5
"""A segment is found where one of its class overlaps it by more than this IoU: at most one can."""


@dataclass(frozen=True)
class SegmentComparison:
    """How a prediction compares with the ground truth.

    Args:
        quality: panoptic quality of the image, all classes together, in [0, 1]; NaN where there is
            neither ground truth nor a prediction.
        confusion: (K, K + 1) pixels by true class and predicted class; the last column is nothing.
        unseen_found: name of each unseen segment that was found -> IoU.
        hits: score of each predicted segment that has one, and whether it matches one of its class.
    """

    quality: float
    confusion: np.ndarray
    unseen_found: tuple[tuple[str, float], ...]
    hits: tuple[tuple[float, bool], ...]


def compare_segments(
    truth: SegmentMap, predicted: SegmentMap, split: ClassSplit
) -> SegmentComparison:
    """Compare two segment maps of one size, as panoptic quality does.

    Unlabelled pixels count nowhere; a crowd is neither found nor missed, but what lies in it and
    has its class is no mistake.
    """
    pairs = _places(truth.ids, truth.segments) * (len(predicted.segments) + 1)
    pairs += _places(predicted.ids, predicted.segments)
    shape = (len(truth.segments) + 1, len(predicted.segments) + 1)
    overlap = np.bincount(pairs.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
    true_class, found_class = _classes(truth.segments), _classes(predicted.segments)
    crowd = np.array([bool(s.get("iscrowd")) for s in truth.segments], dtype=bool)

    confusion = np.zeros((split.num_classes, split.num_classes + 1), dtype=np.int64)
    columns = np.append(split.num_classes, found_class)
    np.add.at(confusion, (true_class[~crowd, None], columns[None]), overlap[1:][~crowd])
    both = overlap[1:, 1:]
    union = overlap[1:].sum(1)[:, None] + both.sum(0)[None] - both
    iou = both / np.maximum(union, 1)
    same = true_class[:, None] == found_class[None]
    matched = same & (iou > _MATCH) & ~crowd[:, None]
    is_hit = matched.any(0)
    excused = overlap[0, 1:] + (both * (same & crowd[:, None])).sum(0)
    counted = is_hit | (excused <= overlap[:, 1:].sum(0) / 2)
    hits, misses = int(is_hit.sum()), int((~crowd & ~matched.any(1)).sum())
    mistakes = int((counted & ~is_hit).sum())
    total = hits + 0.5 * misses + 0.5 * mistakes
    return SegmentComparison(
        float(iou[matched].sum() / total) if total else float("nan"),
        confusion,
        tuple(
            (split.names[label], float(iou[place].max()))
            for place, label in enumerate(true_class.tolist())
            if matched[place].any() and split.classes[label].unseen
        ),
        tuple(
            (float(s["score"]), bool(is_hit[place]))
            for place, s in enumerate(predicted.segments)
            if "score" in s and counted[place]
        ),
    )


def _classes(segments: Sequence[Mapping[str, Any]]) -> np.ndarray:
    return np.array([s["category_id"] for s in segments], dtype=np.int64)


def _places(ids: np.ndarray, segments: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Place of each pixel's segment in the list, from 1; 0 for none."""
    known, where = np.unique(ids, return_inverse=True)
    place = {segment["id"]: n for n, segment in enumerate(segments, start=1)}
    return np.array([place.get(i, 0) for i in known.tolist()], dtype=np.int64)[where].reshape(
        ids.shape
    )
