"""From class scores and masks of queries to instances.

Mask2Former (Cheng et al., CVPR 2022), section 3 and its released inference procedure.
"""

from collections.abc import Sequence

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

_TINY = 1e-6


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
        Instances with ``pred_masks`` (N, H, W) bool, ``pred_boxes``, ``pred_classes``, ``scores``
        (class probability x mean mask probability inside the mask), and ``class_scores`` (N, K),
        the class probabilities of the query.
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
    result.class_scores = scores[query, :-1]
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
