"""From class logits and masks to panoptic, instance and semantic results: pure functions.

Mask2Former (Cheng et al., CVPR 2022), section 3 and its released inference procedure; METHOD:
Inference.
"""

from collections.abc import Sequence

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

_TINY = 1e-6


def class_scores(logits: Tensor) -> Tensor:
    """(Q, K + 1) logits -> (Q, K + 1) probabilities in float32; the last is no-object."""
    return logits.float().softmax(-1)


def semantic_inference(scores: Tensor, masks: Tensor) -> Tensor:
    """Score of every class at every pixel.

    Args:
        scores: (Q, K + 1) class probabilities.
        masks: (Q, H, W) mask logits.

    Returns:
        (K, H, W): the sum over queries of class probability x mask probability, in [0, Q].
    """
    return torch.einsum("qk,qhw->khw", scores[:, :-1], masks.sigmoid())


def confident_queries(scores: Tensor, score_threshold: float) -> Tensor:
    """Which queries take part in panoptic results, (Q,) bool.

    Args:
        scores: (Q, K + 1) class probabilities.
        score_threshold: the best class must not be no-object, and score more.
    """
    best, labels = scores.max(-1)
    return (labels != scores.shape[-1] - 1) & (best > score_threshold)


def panoptic_inference(
    scores: Tensor,
    masks: Tensor,
    things: Sequence[int],
    score_threshold: float,
    overlap_threshold: float,
) -> tuple[Tensor, list[dict]]:
    """Give every pixel to at most one segment.

    Args:
        scores: (Q, K + 1) class probabilities.
        masks: (Q, H, W) mask logits.
        things: contiguous indices of the countable classes.
        score_threshold: see :func:`confident_queries`.
        overlap_threshold: a segment stays if the pixels won are at least this share of its mask's.

    Returns:
        (H, W) int32 segment ids (0: nothing), and for every segment its ``id``, ``category_id``,
        ``isthing`` and ``score``. Segments of one stuff class are one.
    """
    chosen = confident_queries(scores, score_threshold)
    best, labels = scores[chosen].max(-1)
    probabilities = masks[chosen].sigmoid()
    result = torch.zeros(masks.shape[-2:], dtype=torch.int32, device=masks.device)
    if not len(labels):
        return result, []

    inside = probabilities >= 0.5
    # As argmax gives, which takes a CPU five times as long.
    winner = (best[:, None, None] * probabilities).max(0).indices
    won = winner == torch.arange(len(labels), device=masks.device)[:, None, None]
    areas = inside.flatten(1).sum(1).tolist()
    areas_won = won.flatten(1).sum(1).tolist()
    won &= inside
    areas_visible = won.flatten(1).sum(1).tolist()

    segments: list[dict] = []
    stuff_ids: dict[int, int] = {}
    countable = set(things)
    for query, label in enumerate(labels.tolist()):
        if not (areas[query] and areas_won[query] and areas_visible[query]):
            continue
        if areas_won[query] / areas[query] < overlap_threshold:
            continue
        isthing = label in countable
        if not isthing and label in stuff_ids:
            result[won[query]] = stuff_ids[label]
            continue
        segment_id = len(segments) + 1
        result[won[query]] = segment_id
        segments.append(
            {
                "id": segment_id,
                "isthing": isthing,
                "category_id": label,
                "score": best[query].item(),
            }
        )
        if not isthing:
            stuff_ids[label] = segment_id
    return result, segments


def instance_inference(
    scores: Tensor,
    masks: Tensor,
    max_instances: int,
    classes: Sequence[int] | None = None,
    candidates: Sequence[int] | None = None,
) -> Instances:
    """The best (query, class) pairs, each with its query's mask.

    Args:
        scores: (Q, K + 1) class probabilities.
        masks: (Q, H, W) mask logits.
        max_instances: how many pairs to take.
        classes: contiguous indices that may be given; None: all. Pairs of others are dropped
            after the choice, as published, so that fewer may remain.
        candidates: contiguous indices that the choice is made from; None: all.

    Returns:
        Instances with ``pred_masks`` (N, H, W) bool, ``pred_boxes``, ``pred_classes``, and
        ``scores`` (class probability x mean mask probability inside the mask).
    """
    columns = torch.arange(scores.shape[-1] - 1, device=scores.device)
    if candidates is not None:
        columns = columns[list(candidates)]
    pairs = scores[:, columns].flatten()
    best, index = pairs.topk(min(max_instances, len(pairs)), sorted=False)
    labels = columns[index % len(columns)]
    query = index.div(len(columns), rounding_mode="floor")
    if classes is not None:
        kept = torch.isin(labels, torch.tensor(classes, device=labels.device))
        best, labels, query = best[kept], labels[kept], query[kept]
    # A query can be chosen for several classes: its mask is looked at once.
    inside = masks > 0
    area = inside.flatten(1).sum(1)
    quality = (masks.sigmoid() * inside).flatten(1).sum(1) / (area + _TINY)
    result = Instances(tuple(masks.shape[-2:]))
    result.pred_masks = inside[query]
    result.pred_boxes = Boxes(mask_boxes(inside)[query])
    result.scores = best * quality[query]
    result.pred_classes = labels
    return result


def mask_boxes(masks: Tensor) -> Tensor:
    """The boxes around masks, (N, H, W) bool: (N, 4) float32 of x0, y0, x1, y1; 0 where empty.

    Detectron2's own puts them on the CPU, wherever the masks are, and asks a GPU four times a mask.
    """

    def span(hit: Tensor) -> tuple[Tensor, Tensor]:
        hit = hit.int()  # argmax gives the first of equals
        return hit.argmax(1), hit.shape[1] - hit.flip(1).argmax(1)

    columns, rows = masks.any(1), masks.any(2)
    (left, right), (top, bottom) = span(columns), span(rows)
    boxes = torch.stack((left, top, right, bottom), dim=1)
    return (boxes * rows.any(1, keepdim=True)).float()
