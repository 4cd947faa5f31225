"""Cross-entropy of label maps, averaged over the labelled pixels of all processes."""

from collections.abc import Sequence

import torch
from detectron2.utils import comm
from torch import Tensor
from torch.nn import functional as F

from pading.data.masks import IGNORE_LABEL

UNLABELLED = -1


def label_rows(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Labels as places in a list of classes; UNLABELLED is everything else.

    Args:
        labels: int64 classes, or IGNORE_LABEL.
        classes: contiguous indices.
    """
    rows = torch.full((IGNORE_LABEL + 1,), UNLABELLED, device=labels.device)
    rows[list(classes)] = torch.arange(len(classes), device=labels.device)
    return rows[labels]


def pixel_cross_entropy(*parts: tuple[Tensor, Tensor]) -> Tensor:
    """The mean over labelled pixels; 0 where there is none.

    Several processes, whose gradients are averaged, have the loss of one that sees all images.

    Args:
        parts: images of one list of K labels each: logits (B, K, H, W), and labels (B, H, W) int64
            in 0 to K - 1, or UNLABELLED.
    """
    total = torch.stack([_summed(*part) for part in parts]).sum()
    count = torch.stack([(labels != UNLABELLED).sum() for _, labels in parts]).sum().float()
    processes = comm.get_world_size()
    if processes > 1:
        torch.distributed.all_reduce(count)
        count /= processes
    return total / count.clamp_min(1 / processes)


def _summed(scores: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(scores.float(), labels, ignore_index=UNLABELLED, reduction="sum")
