"""Class scores of queries, and which queries count."""

from torch import Tensor


def class_scores(logits: Tensor) -> Tensor:
    """(Q, K + 1) logits -> (Q, K + 1) probabilities in float32; the last is no-object."""
    return logits.float().softmax(-1)


def confident_queries(scores: Tensor, score_threshold: float) -> Tensor:
    """Which queries take part in panoptic results, (Q,) bool.

    Args:
        scores: (Q, K + 1) class probabilities.
        score_threshold: the best class must not be no-object, and score more.
    """
    best, labels = scores.max(-1)
    return (labels != scores.shape[-1] - 1) & (best > score_threshold)
