"""Seen-unseen calibration: a constant off the scores of seen classes."""

from collections.abc import Sequence

from torch import Tensor


def calibrated(scores: Tensor, seen: Sequence[int], bias: float) -> Tensor:
    """Scores of which the seen classes have lost ``bias``.

    Args:
        scores: (K, H, W), or (Q, K + 1) with no-object last.
        seen: contiguous indices.
        bias: 0 gives ``scores`` back.
    """
    if not bias:
        return scores
    scores = scores.clone()
    if scores.dim() == 2:
        scores[:, list(seen)] -= bias
    else:
        scores[list(seen)] -= bias
    return scores
