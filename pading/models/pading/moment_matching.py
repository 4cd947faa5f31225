"""Generative moment matching (Li et al., ICML 2015; METHOD: L_G)."""

from collections.abc import Sequence

import torch
from torch import Tensor

# Below this the square root's gradient explodes; no two different samples come near it.
_SMALLEST = 1e-12


def moment_matching_loss(
    synthetic: Tensor,
    real: Tensor,
    bandwidths: Sequence[float],
    labels: Tensor | None = None,
    class_share: float = 0.0,
) -> Tensor:
    """Maximum mean discrepancy of two samples under a sum of Gaussian kernels.

    The published loss takes all classes as one sample, so that only the classifier's verdict says
    which synthetic embedding is of which class. A kernel times [same class] compares class by
    class, as conditional generators do (Ren et al., NeurIPS 2016).

    Args:
        synthetic: (N, C).
        real: (M, C).
        bandwidths: sigma of each kernel exp(-|a - b|^2 / (2 sigma)).
        labels: (N,) int64, the classes of both samples, M = N; for class_share alone.
        class_share: share of the kernel that sees pairs of one class alone, in [0, 1].

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
    if class_share and labels is not None:
        both_labels = labels.repeat(2)
        same = (both_labels[:, None] == both_labels) * float(len(labels.unique()))
        kernel = kernel * (1 - class_share + class_share * same)
    return (weights @ kernel @ weights).clamp_min(_SMALLEST).sqrt()
