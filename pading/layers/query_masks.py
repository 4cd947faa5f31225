"""Masks of queries, which are products with features of pixels, and where they let queries look."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MaskFeatures(NamedTuple):
    """Features of pixels, of which masks and means in masks are made."""

    map: Tensor
    """(B, C, h, w)."""
    projection: nn.Conv2d | None = None
    """A 1 x 1 convolution with a bias, which is still to make features (B, MASK_DIM, h, w) of the
    map. All is linear, so it is applied to what queries have or get, who are fewer than pixels."""

    def resized(self, size: tuple[int, int]) -> "MaskFeatures":
        """The same of another size, bilinearly."""
        resized = F.interpolate(self.map, size, mode="bilinear", align_corners=False)
        return self._replace(map=resized)

    def masks(self, kernels: Tensor) -> Tensor:
        """(B, Q, MASK_DIM) mask embeddings of queries to mask logits (B, Q, h, w)."""
        if self.projection is None:
            return torch.einsum("bqc,bchw->bqhw", kernels, self.map)
        weight, bias = self._projecting()
        of_map, shift = kernels @ weight, kernels @ bias
        rows = self.map.permute(0, 2, 3, 1).flatten(1, 2)  # as they lie with channels last
        masks = torch.baddbmm(shift[..., None], of_map, rows.mT)
        return masks.unflatten(-1, self.map.shape[-2:])

    def means(self, masks: Tensor) -> Tensor:
        """Mean features (B, Q, MASK_DIM) of the pixels in each query's mask, weighed by their
        chances.

        Args:
            masks: (B, Q, h, w) mask logits.
        """
        # Chances over their sum, also where all of them are too small for a number.
        weights = F.logsigmoid(masks.flatten(2)).softmax(-1)
        means = weights @ self.map.flatten(2).transpose(1, 2)
        if self.projection is None:
            return means
        return F.linear(means, *self._projecting())

    def _projecting(self) -> tuple[Tensor, Tensor]:
        """Weight (MASK_DIM, C) and bias of the projection."""
        projection: Any = self.projection
        return projection.weight.flatten(1), projection.bias


@torch.no_grad()
def visible_pixels(masks: Tensor) -> Tensor:
    """Where each query may look: inside its mask, or everywhere where the mask is empty.

    Args:
        masks: (B, Q, h, w) mask logits, of the map to attend to.

    Returns:
        (B, Q, h * w) bool.
    """
    visible = masks.flatten(2) >= 0  # sigmoid >= 0.5
    return visible | ~visible.any(-1, keepdim=True)


@torch.no_grad()
def attention_mask(masks: Tensor, dtype: torch.dtype) -> Tensor:
    """The same as numbers to be added: 0 where a query may look, and very little elsewhere.

    A CPU makes them in a quarter of the time that PyTorch takes to make them of truth values.
    """
    masks = masks.flatten(2)
    most = masks.amax(-1, keepdim=True)
    edge = torch.zeros_like(most).masked_fill_(most < 0, -torch.inf)
    return (masks < edge).to(dtype).mul_(torch.finfo(dtype).min)
