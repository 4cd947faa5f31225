"""Which class every pixel is of: scores of queries mixed, and the best of many classes."""

import torch
from torch import Tensor
from torch.nn import functional as F


def semantic_inference(scores: Tensor, masks: Tensor) -> Tensor:
    """Score of every class at every pixel.

    Args:
        scores: (Q, K + 1) class probabilities.
        masks: (Q, H, W) mask logits.

    Returns:
        (K, H, W): the sum over queries of class probability x mask probability, in [0, Q].
    """
    return torch.einsum("qk,qhw->khw", scores[:, :-1], masks.sigmoid())


def best_classes(
    scores: Tensor, size: tuple[int, int], align_corners: bool = False, chunk: int = 16
) -> tuple[Tensor, Tensor]:
    """The class of every pixel at another size, without the scores of all classes at that size.

    Args:
        scores: (K, h, w).
        size: H and W; the scores are resized bilinearly.
        align_corners: of the resizing.
        chunk: classes that are at the wanted size at once.

    Returns:
        (H, W) int64, the first of the classes that score best, and (H, W) float32, its score.
    """
    top, labels = torch.empty(0), torch.empty(0)
    for first in range(0, len(scores), chunk):
        part = scores[None, first : first + chunk].float()
        if tuple(scores.shape[-2:]) != size:
            part = F.interpolate(part, size, mode="bilinear", align_corners=align_corners)
        # As argmax gives, which takes a CPU five times as long.
        best, index = part[0].max(0)
        if first:
            better = best > top
            top = torch.where(better, best, top)
            labels = torch.where(better, index + first, labels)
        else:
            top, labels = best, index
    return labels, top
