"""Seen-unseen calibration: a constant off the scores of seen classes."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from torch import Tensor

from pading.inference.settings import InferenceSettings


class _Infers(Protocol):
    inference: InferenceSettings


_Model = TypeVar("_Model", bound=_Infers)


def with_seen_bias(model: _Model, bias: float) -> _Model:
    """A copy with the same weights whose results are at another value of SEEN_BIAS.

    The model itself stays as it is: other threads may be using it.
    """
    turned = copy.copy(model)
    turned.inference = replace(model.inference, seen_bias=bias)
    return turned


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
