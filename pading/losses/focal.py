"""Focal loss of one sigmoid mask per class (Lin et al., ICCV 2017), on maps of labels.

Masks are smaller than labels, and classes are many: all masks at the size of the labels, with what
autograd keeps of every operation, would be most of a training step's memory. So masks are enlarged
some at a time, and their gradient is taken back to their own size at once.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from pading.layers.resizing_matrices import Bilinear

# Numbers that are worked on at once: what a processor's cache holds, and what keeps a GPU busy.
_AT_ONCE = {"cpu": 1 << 17, "cuda": 1 << 25}


def focal_loss(
    masks: Tensor,
    labels: Tensor,
    counted: Tensor | None = None,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Tensor:
    """Every class against all else, at every pixel.

    Args:
        masks: (B, K, h, w) logits, which are enlarged bilinearly to the size of the labels.
        labels: (B, H, W) int64; whatever is no class (below 0 or from K on) is negative for all.
        counted: (B, H, W) bool, pixels that count; None: all.
        alpha: weight of positives; negatives have 1 - alpha.
        gamma: how much what is right already counts less.

    Returns:
        mean over an image's pixels that count, sum over images and classes; no pixel: 0.
    """
    if counted is None:
        share = torch.full((len(labels), 1, 1), 1 / labels[0].numel(), device=labels.device)
    else:
        share = counted / counted.sum((-2, -1), keepdim=True).clamp_min(1)
    return _FocalLoss.apply(masks, labels, share.to(masks), alpha, gamma)


class _FocalLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, masks: Tensor, labels: Tensor, share: Tensor, alpha: float, gamma: float
    ) -> Tensor:
        """``share`` (B, H, W) or (B, 1, 1): what each pixel counts of an image."""
        size = (labels.shape[-2], labels.shape[-1])
        resized = Bilinear((masks.shape[-2], masks.shape[-1]), size, masks)
        classes = torch.arange(masks.shape[1], device=masks.device)
        several = max(1, _AT_ONCE.get(masks.device.type, 1 << 25) // labels[0].numel())
        total, gradient = masks.new_zeros(()), torch.empty_like(masks)
        for image, label, part, back in zip(masks, labels, share, gradient, strict=True):
            for some in classes.split(several):
                rows = slice(int(some[0]), int(some[-1]) + 1)
                positive = label == some[:, None, None]
                sign = torch.where(positive, -1.0, 1.0).to(masks)
                wrong = resized(image[rows]) * sign  # logit of being wrong
                chance, loss = wrong.sigmoid(), F.softplus(wrong)
                weight = torch.where(positive, alpha, 1 - alpha).to(masks) * part * chance**gamma
                total += (weight * loss).sum()
                if ctx.needs_input_grad[0]:
                    slope = gamma * (1 - chance) * loss + chance
                    back[rows] = resized.transposed(weight * slope * sign)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by: Tensor) -> tuple[Tensor | None, ...]:
        return by * ctx.saved_tensors[0], None, None, None, None
