"""Dice loss of one sigmoid mask per class, on maps of labels: classes that are there alone."""

import torch
from torch import Tensor

from pading.layers.resizing_matrices import Bilinear


def present_pairs(labels: Tensor, num_classes: int) -> Tensor:
    """(P, 2) image and class of every class that an image shows.

    Args:
        labels: (B, H, W) int64; whatever is no class (below 0 or from K on) is none.
        num_classes: K.
    """
    classes = torch.arange(num_classes, device=labels.device)
    shown = torch.stack([torch.isin(classes, image) for image in labels])
    return shown.nonzero()


def dice_label_loss(
    masks: Tensor, labels: Tensor, pairs: Tensor, counted: Tensor | None = None
) -> Tensor:
    """1 - (2 sum p y + 1) / (sum p + sum y + 1), summed over pairs.

    Args:
        masks: (B, K, h, w) logits; those of pairs are enlarged bilinearly to the labels' size.
        labels: (B, H, W) int64.
        pairs: (P, 2), of :func:`present_pairs`.
        counted: (B, H, W) bool, pixels that count; None: all.

    Returns:
        the sum; 0 without pairs.
    """
    image, number = pairs.unbind(1)
    height, width = labels.shape[-2:]
    resized = Bilinear((masks.shape[-2], masks.shape[-1]), (height, width), masks)
    chance = resized(masks[image, number]).sigmoid()
    wanted = labels[image] == number[:, None, None]
    if counted is not None:
        chance = chance * counted[image]
        wanted = wanted & counted[image]
    overlap = 2 * (chance * wanted).sum((-2, -1))
    size = chance.sum((-2, -1)) + wanted.sum((-2, -1))
    return (1 - (overlap + 1) / (size + 1)).sum()
