"""Results of an image with what the seen-unseen dial needs, small enough to be kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pading.prediction.result import PanopticResult, Prediction, Scores
from pading.vocabulary.splits import ClassSplit


@dataclass(frozen=True)
class PixelMargins:
    """Of every pixel the best seen and the best unseen class, as category ids.

    Args:
        seen, unseen: H x W.
        margin: H x W float16, by how much the seen one scores more; infinite where one is missing.
    """

    seen: np.ndarray
    unseen: np.ndarray
    margin: np.ndarray


class Look:
    """A prediction whose dial can be turned: nothing is computed by the model again.

    A constant off all seen scores changes no order within the seen and within the unseen classes,
    so that of every segment and pixel the best of both are enough.
    """

    def __init__(self, prediction: Prediction) -> None:
        """
        Args:
            prediction: with its scores, split and image.
        """
        assert prediction.split is not None
        self._margins = None
        if prediction.semantic is not None and prediction.scores.semantic is not None:
            self._margins = _margins(prediction.scores.semantic, prediction.split)
        self._rows = {
            "panoptic": prediction.scores.panoptic,
            "instance": prediction.scores.instance,
        }
        # The scores of all classes at all pixels are a hundred megabytes for a photograph.
        self.prediction = replace(prediction, scores=Scores())

    def at(self, bias: float) -> Prediction:
        """The results with ``bias`` (in [-1, 1]) off the scores of the seen classes."""
        found, split = self.prediction, self.prediction.split
        assert split is not None
        if not bias:
            return found
        panoptic, instance, semantic = found.panoptic, found.instance, found.semantic
        if panoptic is not None and self._rows["panoptic"] is not None:
            segments = _turned(panoptic.segments, self._rows["panoptic"], split, bias)
            panoptic = PanopticResult(panoptic.ids, segments)
        if instance is not None and self._rows["instance"] is not None:
            instance = _turned(instance, self._rows["instance"], split, bias)
        if semantic is not None and self._margins is not None:
            kept = self._margins
            semantic = np.where(kept.margin >= bias, kept.seen, kept.unseen).astype(semantic.dtype)
        return replace(found, panoptic=panoptic, instance=instance, semantic=semantic)


def _margins(scores: np.ndarray, split: ClassSplit) -> PixelMargins:
    ids = np.array([info.id for info in split.classes])
    if not (split.seen and split.unseen):
        best = ids[scores.argmax(0)]
        sign = np.inf if split.seen else -np.inf
        return PixelMargins(best, best, np.full(best.shape, sign, np.float16))
    seen, unseen = scores[list(split.seen)], scores[list(split.unseen)]
    return PixelMargins(
        ids[list(split.seen)][seen.argmax(0)],
        ids[list(split.unseen)][unseen.argmax(0)],
        seen.max(0) - unseen.max(0),
    )


def _turned(
    segments: Sequence[dict[str, Any]], scores: np.ndarray, split: ClassSplit, bias: float
) -> list[dict[str, Any]]:
    """Segments or detections, of which some have gone over to the best class of the other group."""
    turned = []
    for segment, row in zip(segments, scores, strict=True):
        label = split.contiguous_id[segment["category_id"]]
        others = split.seen if split.classes[label].unseen else split.unseen
        change = segment
        if others:
            other = max(others, key=lambda i: row[i])
            loss = {True: 0.0, False: bias}  # by whether it is unseen
            own = row[label] - loss[split.classes[label].unseen]
            if row[other] - loss[split.classes[other].unseen] > own:
                share = float(row[other] / max(row[label], np.finfo(np.float32).tiny))
                score = min(1.0, segment["score"] * share)
                change = {**segment, "category_id": split.classes[other].id, "score": score}
        turned.append(change)
    return turned
