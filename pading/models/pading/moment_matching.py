"""Generative moment matching (Li et al., ICML 2015; METHOD: L_G)."""

from collections.abc import Sequence

import torch
from torch import Tensor

# Below this the square root's gradient explodes; no two different samples come near it.
_SMALLEST = 1e-12


def moment_matching_loss(synthetic: Tensor, real: Tensor, bandwidths: Sequence[float]) -> Tensor:
    """Maximum mean discrepancy of two samples under a sum of Gaussian kernels.

    Args:
        synthetic: (N, C).
        real: (M, C).
        bandwidths: sigma of each kernel exp(-|a - b|^2 / (2 sigma)).

    Returns:
        scalar, at least 0; 0 where both samples are empty.
    """
    both = torch.cat((synthetic, real))
    weights = torch.cat(
        (
            synthetic.new_full((len(synthetic),), 1 / max(len(synthetic), 1)),
            real.new_full((len(real),), -1 / max(len(real), 1)),
        )
    )
    half_norms = both.square().sum(1) / 2
    exponent = both @ both.T - half_norms[:, None] - half_norms
    kernel = torch.exp(exponent[..., None] / exponent.new_tensor(bandwidths)).sum(-1)
    return (weights @ kernel @ weights).clamp_min(_SMALLEST).sqrt()
