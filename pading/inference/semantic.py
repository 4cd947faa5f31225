"""Which class every pixel is of, by the masks and classes of queries."""

import torch
from torch import Tensor

from pading.inference.bands import Band
from pading.inference.large_maps import large_zeros
from pading.layers.packed_linear import product


class SemanticPart:
    """The score of every class at every pixel: see :func:`semantic_inference`."""

    def __init__(self, scores: Tensor, size: tuple[int, int]) -> None:
        """
        Args:
            scores: (Q, K + 1) class probabilities.
            size: height and width.
        """
        self.queries = torch.arange(len(scores), device=scores.device)
        self._shares = scores[:, :-1].T.contiguous()
        self.result = large_zeros((len(self._shares), *size), scores)
        """(K, H, W), once all bands are taken."""

    def take(self, band: Band) -> None:
        mixed = product(self._shares, band.chances.flatten(1))
        self.result[:, band.rows] = mixed.unflatten(1, band.chances.shape[1:])


def semantic_inference(scores: Tensor, masks: Tensor) -> Tensor:
    """Score of every class at every pixel.

    Args:
        scores: (Q, K + 1) class probabilities.
        masks: (Q, H, W) mask logits.

    Returns:
        (K, H, W): the sum over queries of class probability x mask probability, in [0, Q].
    """
    return torch.einsum("qk,qhw->khw", scores[:, :-1], masks.sigmoid())
