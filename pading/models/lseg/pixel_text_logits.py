"""Embeddings of pixels, and their products with those of texts, without a map of embeddings.

The published network enlarges C channels twofold, convolves them to D (C -> C, then C -> D), makes
every pixel's vector unit, and multiplies it with K texts. All but the norm is linear. So here, at a
quarter of the pixels, C channels go to K products at once; these are enlarged, and divided by the
norm, which needs no embedding either: that of a bilinear mixture of four neighbours follows from
the products among them: four maps of numbers, out of C + 1 channels that have them.
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

    def forward(
        self,
        fused: Tensor,
        output: nn.Conv2d,
        head: nn.Conv2d,
        text: Tensor,
        norm: Tensor | None = None,
    ) -> Tensor:
        """
        Args:
            fused: (B, C, h, w).
            output: C -> C, 1 x 1.
            head: C -> D, 1 x 1.
            text: (K, D), or (B, K, D) where every image has labels of its own; unit rows.
            norm: of :meth:`norm`, where it is known already.

        Returns:
            (B, K, 2 h, 2 w) cosines over temperature.
        """
        size = (2 * fused.shape[-2], 2 * fused.shape[-1])
        weight, bias = merged(output, head)
        products = _products(fused, text @ weight, text @ bias)
        if norm is None:
            norm = self.norm(fused, output, head)
        return enlarged(products, size) * (self.scale / norm)

    def norm(self, fused: Tensor, output: nn.Conv2d, head: nn.Conv2d) -> Tensor:
        """(B, 1, 2 h, 2 w), the lengths of the embeddings."""
        root, rest = isometric(*merged(output, head))
        size = (2 * fused.shape[-2], 2 * fused.shape[-1])
        return mixture_norm(F.conv2d(fused, root[..., None, None], rest), size)

    def embeddings(self, fused: Tensor, output: nn.Conv2d, head: nn.Conv2d) -> Tensor:
        """(B, D, 2 h, 2 w) unit embeddings, for those who want them."""
        weight, bias = merged(output, head)
        size = (2 * fused.shape[-2], 2 * fused.shape[-1])
        return F.normalize(enlarged(F.conv2d(fused, weight[..., None, None], bias), size), dim=1)


def merged(output: nn.Conv2d, head: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight (D, C) and bias (D,) of one 1 x 1 convolution behind another; both have a bias."""
    outer = head.weight.flatten(1)
    assert output.bias is not None and head.bias is not None
    return outer @ output.weight.flatten(1), outer @ output.bias + head.bias


def _products(fused: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(B, C, h, w) with (K, C) and (K,), or (B, K, C) and (B, K) -> (B, K, h, w)."""
    if weight.dim() == 2:
        return F.conv2d(fused, weight[..., None, None], bias)
    flat = torch.baddbmm(bias[..., None], weight, fused.flatten(2))
    return flat.unflatten(2, fused.shape[-2:])


def isometric(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A 1 x 1 convolution to few channels with the same products between any two pixels.

    With the Cholesky factor L of the Gram matrix of (W, b), (W x + b) . (W y + b) is
    (L' (x, 1)) . (L' (y, 1)): C + 1 channels instead of D.

    Args:
        weight, bias: (D, C) and (D,).

    Returns:
        weight and bias of as many channels as are needed. A compiled or exported graph, to which
        a factorisation is foreign, has all of them.
    """
    dim, channels = weight.shape
    if dim <= channels + 1 or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return weight, bias
    both = torch.cat((weight, bias[:, None]), dim=1)
    exact = both.double() if both.device.type != "mps" else both  # which has no float64
    gram = exact.T @ exact
    # Beyond all rounding that follows; it keeps a matrix of lower rank positive.
    jitter = gram.diagonal().mean().detach() * 10 * torch.finfo(gram.dtype).eps
    eye = torch.eye(channels + 1, dtype=gram.dtype, device=gram.device)
    root = torch.linalg.cholesky_ex(gram + jitter * eye).L.T.to(weight.dtype)
    return root[:, :-1], root[:, -1]


def mixture_norm(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Norm over channels of a map that is enlarged, without enlarging it.

    Args:
        x: (B, C, h, w).
        size: of the enlarged map.

    Returns:
        (B, 1, *size): what ``enlarged(x, size).norm(dim=1, keepdim=True)`` gives.
    """
    own, beside, under, crossing = _neighbour_products(x)
    # Rows first: with shares p above and q below, the mixture of two rows has as products of a
    # column with itself pp aa + 2 pq ab + qq bb, and of two columns likewise. What lies behind the
    # border has no share.
    rows, q = _neighbours(x.shape[-2], size[0], x)
    q = q[:, None]
    p = 1 - q
    column = p * p * own[:, rows] + 2 * p * q * under[:, rows] + q * q * _next(own, 1)[:, rows]
    pair = p * p * beside[:, rows] + p * q * crossing[:, rows]
    pair = pair + q * q * _next(beside, 1)[:, rows]
    columns, q = _neighbours(x.shape[-1], size[1], x)
    p = 1 - q
    squared = p * p * column[..., columns] + 2 * p * q * pair[..., columns]
    squared = squared + q * q * _next(column, 2)[..., columns]
    return squared.clamp_min(torch.finfo(x.dtype).tiny).sqrt()[:, None]


def _neighbour_products(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Products of neighbouring pixels, (B, h, w) each, 0 where there is no neighbour.

    Of every pixel with itself, with the right one, with the lower one; and of both diagonals of
    the four pixels that begin here, summed.
    """
    beside = (x[..., :-1] * x[..., 1:]).sum(1)
    under = (x[..., :-1, :] * x[..., 1:, :]).sum(1)
    falling = (x[..., :-1, :-1] * x[..., 1:, 1:]).sum(1)
    rising = (x[..., :-1, 1:] * x[..., 1:, :-1]).sum(1)
    crossing = F.pad(falling + rising, (0, 1, 0, 1))
    return (x * x).sum(1), F.pad(beside, (0, 1)), F.pad(under, (0, 0, 0, 1)), crossing


def _next(x: Tensor, dim: int) -> Tensor:
    """(B, h, w) with every value's successor along an axis in its place; 0 behind the last."""
    if dim == 1:
        return F.pad(x[:, 1:], (0, 0, 0, 1))
    return F.pad(x[..., 1:], (0, 1))


def _neighbours(length: int, wanted: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Of every position of an enlarged axis the left neighbour, and the right one's share."""
    place = torch.arange(wanted, device=like.device, dtype=like.dtype)
    place = place * ((length - 1) / max(wanted - 1, 1))
    left = place.floor().clamp(max=length - 1)
    return left.long(), place - left
