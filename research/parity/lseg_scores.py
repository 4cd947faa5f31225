"""Scores beside a recording: episodes by folds, and label maps as ADE20K is scored.

fold, class_ids (C,), class_id (N,), prediction, target, ignore (N, H, W)  ->
    intersection, union (2, N), miou, fb_iou, both also *_without_ignore
semantic_prediction, semantic_target (M, h, w), -1 ignored, semantic_classes ->
    pix_acc, semantic_miou
"""

import numpy as np

from pading.data.masks import IGNORE_LABEL
from pading.evaluation.fold_scores import episode_areas, score_fold
from pading.evaluation.pixel_scores import count_pixels
from research.parity.comparison import Comparer

SCORE_INPUTS = (
    *("fold", "class_ids", "class_id", "prediction", "target", "ignore"),
    *("semantic_prediction", "semantic_target", "semantic_classes"),
)
"""Arrays that are given, not compared."""
_SCORES = 1e-6


def compare_scores(comparer: Comparer) -> None:
    """Compare every score."""
    recording = comparer.recording
    numbers = recording.numbers
    labels = numbers("class_id").tolist()
    classes = numbers("class_ids").tolist()
    for suffix, ignored in (("", numbers("ignore")), ("_without_ignore", None)):
        episodes = [
            episode_areas(p, t, None if ignored is None else ignored[i])
            for i, (p, t) in enumerate(zip(numbers("prediction"), numbers("target"), strict=True))
        ]
        if not suffix:
            for i, name in enumerate(("intersection", "union")):
                ours = np.stack([areas[i] for areas in episodes], axis=1)
                comparer.count(name, int((ours != numbers(name)).sum()), "areas")
        found = score_fold(zip(labels, episodes, strict=True), classes)
        _relative(comparer, f"miou{suffix}", found.miou)
        _relative(comparer, f"fb_iou{suffix}", found.fb_iou)
    target = numbers("semantic_target").astype(np.int64)
    target[target < 0] = IGNORE_LABEL
    count = int(numbers("semantic_classes"))
    counts = sum(
        count_pixels(t, p, count)
        for t, p in zip(target, numbers("semantic_prediction"), strict=True)
    )
    right, truth, said = np.asarray(counts, dtype=np.float64)
    _relative(comparer, "pix_acc", right.sum() / truth.sum())
    # Over all classes, those that never occur included, as the published code has it.
    _relative(comparer, "semantic_miou", (right / np.maximum(truth + said - right, 1)).mean())


def _relative(comparer: Comparer, array: str, ours: float) -> None:
    wanted = float(comparer.recording.numbers(array))
    comparer.add(array, abs(ours - wanted) / max(abs(wanted), 1e-12), _SCORES, "relative")
