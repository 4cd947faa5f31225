"""Focal loss of one sigmoid mask per class (Lin et al., ICCV 2017), on maps of labels."""

import torch
from torch import Tensor
from torch.nn import functional as F


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    counted: Tensor | None = None,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Tensor:
    """Every class against all else, at every pixel.

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) int64; whatever is no class (below 0 or from K on) is negative for all.
        counted: (B, H, W) bool, pixels that count; None: all.
        alpha: weight of positives; negatives have 1 - alpha.
        gamma: how much what is right already counts less.

    Returns:
        mean over an image's pixels that count, sum over images and classes; no pixel: 0.
    """
    positive = labels[:, None] == torch.arange(logits.shape[1], device=labels.device).view(-1, 1, 1)
    right = torch.where(positive, logits, -logits)  # logit of being right
    weight = torch.where(positive, alpha, 1 - alpha)
    loss = weight * torch.sigmoid(-right) ** gamma * F.softplus(-right)
    if counted is None:
        return loss.mean((-2, -1)).sum()
    pixels = counted.sum((-2, -1)).clamp_min(1)
    return ((loss * counted[:, None]).sum((-3, -2, -1)) / pixels).sum()
