"""Which class every pixel is of, by the masks and classes of queries."""

import torch
from torch import Tensor


def semantic_inference(scores: Tensor, masks: Tensor) -> Tensor:
    """Score of every class at every pixel.

    Args:
        scores: (Q, K + 1) class probabilities.
        masks: (Q, H, W) mask logits.

    Returns:
        (K, H, W): the sum over queries of class probability x mask probability, in [0, Q].
    """
    return torch.einsum("qk,qhw->khw", scores[:, :-1], masks.sigmoid())
