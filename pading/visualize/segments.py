"""Results and ground truth of every task in the one form that is drawn: a map of segments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from pading.data.masks import IGNORE_LABEL, instance_masks, panoptic_ids, semantic_labels, widened
from pading.vocabulary.splits import ClassSplit

_SAME_MASK = 0.7


@dataclass(frozen=True)
class SegmentMap:
    """Segments that do not overlap.

    Args:
        ids: H x W integers, 0 unlabelled.
        segments: per segment "id", "category_id" (contiguous index of the split) and perhaps
            "score", which its label then shows.
    """

    ids: np.ndarray
    segments: Sequence[Mapping[str, Any]]


def segments_of_labels(labels: np.ndarray) -> SegmentMap:
    """A segment for every class that occurs.

    Args:
        labels: H x W contiguous indices, 255 unlabelled.
    """
    labels = widened(labels)
    present = np.unique(labels[labels != IGNORE_LABEL]).tolist()
    ids = np.where(labels == IGNORE_LABEL, 0, labels.astype(np.int32) + 1)
    return SegmentMap(ids, [{"id": label + 1, "category_id": label} for label in present])


def segments_of_detections(
    detections: Sequence[Mapping[str, Any]],
    split: ClassSplit,
    size: tuple[int, int],
    min_score: float,
) -> SegmentMap:
    """The detections worth drawing: good ones, and of several on one object the best.

    Args:
        detections: in COCO's results format, masks as compressed RLE.
        split: their classes.
        size: height and width of the image.
        min_score: those that score less are left out.
    """
    good = sorted(
        (d for d in detections if d["score"] >= min_score), key=lambda d: d["score"], reverse=True
    )
    codes = [d["segmentation"] for d in good]
    overlap = np.atleast_2d(coco_mask.iou(codes, codes, [0] * len(codes))) if codes else np.empty(0)
    kept: list[int] = []
    for place in range(len(good)):
        if not kept or overlap[place, kept].max() < _SAME_MASK:
            kept.append(place)
    return _stacked(
        [coco_mask.decode(codes[place]) for place in kept],
        [
            {
                "category_id": split.contiguous_id[good[place]["category_id"]],
                "score": good[place]["score"],
            }
            for place in kept
        ],
        size,
    )


def segments_of_entry(entry: Mapping[str, Any]) -> SegmentMap:
    """The ground truth of a data set's dictionary, whatever its task.

    Raises:
        InputError: an unreadable or broken mask, a file of another size than the image.
    """
    if entry["task"] == "instance":
        annotations = [a for a in entry["annotations"] if not a["iscrowd"]]
        classes = [{"category_id": a["category_id"]} for a in annotations]
        return _stacked(instance_masks(entry), classes, (entry["height"], entry["width"]))
    if entry["task"] == "semantic":
        return segments_of_labels(semantic_labels(entry))
    return SegmentMap(panoptic_ids(entry), entry["segments_info"])


def _stacked(
    masks: Sequence[np.ndarray], segments: Sequence[Mapping[str, Any]], size: tuple[int, int]
) -> SegmentMap:
    """Masks laid on each other, the smallest on top, so that none hides another altogether."""
    ids = np.zeros(size, dtype=np.int32)
    for place in sorted(range(len(masks)), key=lambda place: -int(masks[place].sum())):
        ids[masks[place] > 0] = place + 1
    return SegmentMap(ids, [{**s, "id": place} for place, s in enumerate(segments, start=1)])
