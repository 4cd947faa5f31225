"""Masks read at sampled points, not at every pixel (PointRend, Kirillov et al., CVPR 2020)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def sample_points(masks: Tensor, points: Tensor) -> Tensor:
    """Read masks at points by bilinear interpolation; zero outside.

    Args:
        masks: (N, C, H, W) floating point.
        points: (N, P, 2) as (x, y) in [0, 1], relative to width and height.

    Returns:
        (N, C, P).
    """
    grid = 2 * points[:, :, None] - 1
    return F.grid_sample(masks, grid, align_corners=False)[..., 0]


def random_points(count: int, num_points: int, device: torch.device) -> Tensor:
    """(count, num_points, 2) points, uniform in the unit square."""
    return torch.rand(count, num_points, 2, device=device)


@torch.no_grad()
def uncertain_points(
    logits: Tensor, num_points: int, oversample_ratio: float, importance_ratio: float
) -> Tensor:
    """Points that gather where a mask is undecided.

    Args:
        logits: (N, H, W) mask logits.
        num_points: P.
        oversample_ratio: candidates drawn per point, at least 1.
        importance_ratio: in [0, 1], share of the points that are the most uncertain candidates,
            those with logits nearest to 0; the rest is uniform.

    Returns:
        (N, P, 2) as (x, y) in [0, 1].
    """
    count = len(logits)
    candidates = random_points(count, int(num_points * oversample_ratio), logits.device)
    certainty = sample_points(logits[:, None], candidates)[:, 0].abs()
    num_uncertain = int(num_points * importance_ratio)
    chosen = certainty.topk(num_uncertain, dim=1, largest=False, sorted=False).indices
    uncertain = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    uniform = random_points(count, num_points - num_uncertain, logits.device)
    return torch.cat((uncertain, uniform), dim=1)
