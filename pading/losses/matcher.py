"""Bipartite matching of queries and ground-truth segments (DETR; Mask2Former section 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from pading.losses.points import random_points, sample_points
from pading.structures import MaskTargets, QueryPredictions

Match = tuple[Tensor, Tensor]
"""(query indices ascending, target indices) of one image, int64 on the CPU."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the three terms; matching minimises what training does."""

    classes: float
    mask: float
    dice: float


@torch.no_grad()
def match(
    stages: Sequence[QueryPredictions],
    targets: Sequence[MaskTargets],
    weights: LossWeights,
    num_points: int,
) -> list[list[Match]]:
    """Pair each target with a query so that the sum of costs is least, for several predictions.

    All predictions of an image are compared with its targets at the same random points.

    Args:
        stages: predictions of the same images, with the same shapes.
        targets: one per image.
        weights: of the terms of the cost.
        num_points: points at which masks are compared.

    Returns:
        for each stage, for each image, the matched pairs: as many as there are targets, or queries
        if those are fewer.

    Raises:
        FloatingPointError: a cost is not finite: the model has diverged, or float16 overflown.
    """
    matches: list[list[Match]] = [[] for _ in stages]
    for i, target in enumerate(targets):
        points = random_points(1, num_points, target.masks.device)
        target = replace(target, masks=target.masks.float())  # once for all
        # One after the other: what all of them make at once is more than caches hold.
        parts = [
            pairing_cost(
                stage.logits[i : i + 1].float(),
                stage.masks[i : i + 1].float(),
                *(target, points, weights),
            )
            for stage in stages
        ]
        costs = torch.cat(parts).cpu()
        if not costs.isfinite().all():
            raise FloatingPointError(
                "the matching cost is not finite: the model has diverged (lower SOLVER.BASE_LR or "
                "clip gradients, SOLVER.CLIP_GRADIENTS) or float16 has overflown (SOLVER.AMP.DTYPE "
                "bfloat16 has more range)"
            )
        for stage, cost in enumerate(costs):
            query, segment = linear_sum_assignment(cost)
            matches[stage].append((torch.as_tensor(query), torch.as_tensor(segment)))
    return matches


def pairing_cost(
    logits: Tensor, masks: Tensor, target: MaskTargets, points: Tensor, weights: LossWeights
) -> Tensor:
    """Cost of pairing every query with every target of one image (Mask2Former, section 3.3).

    Args:
        logits: (L, Q, classes + 1), for L predictions of the image.
        masks: (L, Q, h, w) mask logits.
        target: N segments.
        points: (1, P, 2) where the masks are compared, as (x, y) in [0, 1].
        weights: of the terms.

    Returns:
        (L, Q, N).
    """
    predicted = sample_points(masks.flatten(0, 1)[None], points)[0].unflatten(0, masks.shape[:2])
    wanted = sample_points(target.masks[None].to(masks.dtype), points)[0].T  # (P, N)

    class_cost = -logits.softmax(-1)[..., target.labels]
    # The mean binary cross-entropy of all pairs: softplus(-x) where the target is 1, softplus(x)
    # where it is 0. softplus(-x) = softplus(x) - x, so one product serves both.
    everywhere = F.softplus(predicted).mean(-1, keepdim=True)
    mask_cost = everywhere - predicted @ wanted / len(wanted)
    probability = predicted.sigmoid()
    overlap = 2 * probability @ wanted
    dice_cost = 1 - (overlap + 1) / (probability.sum(-1, keepdim=True) + wanted.sum(0) + 1)
    return weights.classes * class_cost + weights.mask * mask_cost + weights.dice * dice_cost
