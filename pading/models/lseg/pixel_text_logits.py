"""Embeddings of pixels, and their products with those of texts, without a large map of embeddings.

The published network enlarges C channels twofold, convolves them to D (C -> C, then C -> D), makes
every pixel's vector unit, and multiplies it with K texts. All but the norm is linear. So here, at a
quarter of the pixels, C channels go to K products at once; these are enlarged, and divided by the
norm, which needs no enlarged embedding either: that of a bilinear mixture of four neighbours follows
from the products among them, which are four maps of numbers for the whole image.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pading.models.lseg.fusion import enlarged


class PixelTextLogits(nn.Module):
    """The last two 1 x 1 convolutions, the norm and the product with texts."""

    def __init__(self, temperature: float, learned: bool = False) -> None:
        """
        Args:
            temperature: cosines are divided by it.
            learned: whether it is a parameter, as CLIP's is; published: a constant.
        """
        super().__init__()
        self.learned = learned
        self.fixed_scale = 1 / temperature
        if learned:
            self.log_scale = nn.Parameter(torch.tensor(math.log(self.fixed_scale)))

    @property
    def scale(self) -> Tensor | float:
        """What cosines are multiplied by; at most 100 where it is learned, as in CLIP."""
        return self.log_scale.exp().clamp(max=100.0) if self.learned else self.fixed_scale

    def forward(self, fused: Tensor, output: nn.Conv2d, head: nn.Conv2d, text: Tensor) -> Tensor:
        """
        Args:
            fused: (B, C, h, w).
            output: C -> C, 1 x 1.
            head: C -> D, 1 x 1.
            text: (K, D), or (B, K, D) where every image has labels of its own; unit rows.

        Returns:
            (B, K, 2 h, 2 w) cosines over temperature.
        """
        size = (2 * fused.shape[-2], 2 * fused.shape[-1])
        weight, bias = merged(output, head)
        products = _products(fused, text @ weight, text @ bias)
        norm = mixture_norm(F.conv2d(fused, weight[..., None, None], bias), size)
        return enlarged(products, size) * (self.scale / norm)

    def embeddings(self, fused: Tensor, output: nn.Conv2d, head: nn.Conv2d) -> Tensor:
        """(B, D, 2 h, 2 w) unit embeddings, for those who want them."""
        weight, bias = merged(output, head)
        size = (2 * fused.shape[-2], 2 * fused.shape[-1])
        return F.normalize(enlarged(F.conv2d(fused, weight[..., None, None], bias), size), dim=1)


def merged(output: nn.Conv2d, head: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight (D, C) and bias (D,) of one 1 x 1 convolution behind another."""
    outer = head.weight.flatten(1)
    weight, bias = outer @ output.weight.flatten(1), outer @ output.bias
    return weight, bias if head.bias is None else bias + head.bias


def _products(fused: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(B, C, h, w) with (K, C) and (K,), or (B, K, C) and (B, K) -> (B, K, h, w)."""
    if weight.dim() == 2:
        return F.conv2d(fused, weight[..., None, None], bias)
    flat = torch.baddbmm(bias[..., None], weight, fused.flatten(2))
    return flat.unflatten(2, fused.shape[-2:])


def mixture_norm(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Norm over channels of a map that is enlarged, without enlarging it.

    Args:
        x: (B, C, h, w).
        size: of the enlarged map.

    Returns:
        (B, 1, *size): what ``enlarged(x, size).norm(dim=1, keepdim=True)`` gives.
    """
    rows, row_share = _neighbours(x.shape[-2], size[0], x)
    columns, column_share = _neighbours(x.shape[-1], size[1], x)
    beside = F.pad((x[..., :-1] * x[..., 1:]).sum(1), (0, 1))
    under = F.pad((x[..., :-1, :] * x[..., 1:, :]).sum(1), (0, 0, 0, 1))
    diagonal = F.pad((x[..., :-1, :-1] * x[..., 1:, 1:]).sum(1), (0, 1, 0, 1))
    counter = F.pad((x[..., :-1, 1:] * x[..., 1:, :-1]).sum(1), (0, 1, 0, 1))
    products = torch.stack(((x * x).sum(1), beside, under, diagonal + counter))
    # Rows first: with shares p above and q below, the mixture of two rows has as products of a
    # column with itself pp aa + 2 pq ab + qq bb, and of two columns likewise. What lies behind the
    # border has no share.
    below = F.pad(products[:2], (0, 0, 0, 1))[..., 1:, :]
    q = row_share[:, None]
    p = 1 - q
    own, beside, under, crossing = products[..., rows, :]
    own_below, beside_below = below[0][..., rows, :], below[1][..., rows, :]
    column = p * p * own + 2 * p * q * under + q * q * own_below
    pair = p * p * beside + p * q * crossing + q * q * beside_below
    following = F.pad(column, (0, 1))[..., 1:]
    q = column_share
    p = 1 - q
    squared = p * p * column[..., columns] + 2 * p * q * pair[..., columns]
    squared = squared + q * q * following[..., columns]
    return squared.clamp_min(torch.finfo(x.dtype).tiny).sqrt()[:, None]


def _neighbours(length: int, wanted: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Of every position of an enlarged axis the left neighbour, and the right one's share."""
    place = torch.arange(wanted, device=like.device, dtype=like.dtype)
    place = place * ((length - 1) / max(wanted - 1, 1))
    left = place.floor().clamp(max=length - 1)
    return left.long(), place - left
