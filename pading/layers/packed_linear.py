"""Linear layers and attention with weights kept as oneDNN reads them: see ``packed``."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pading.layers.attention import MultiheadAttention
from pading.layers.eight_bits import Range, Weights8, known_range, multiply, pack_linear
from pading.layers.kept import Kept
from pading.layers.packed import packed_dtype


class PackedProduct:
    """x @ weight.T + bias, the weights kept in the type in which they are asked for."""

    def __init__(self) -> None:
        self._packed = Kept()

    def __call__(
        self,
        x: Tensor,
        dtype: torch.dtype,
        weights: Callable[[], tuple[Tensor, Tensor]],
        of: Sequence[Tensor],
        after: str = "none",
    ) -> Tensor:
        """(..., inputs) to (..., outputs).

        Args:
            x: numbers.
            dtype: the type to compute in.
            weights: makes the weight (outputs, inputs) and the bias (outputs,).
            of: what those are made of.
            after: "relu" or "none".
        """

        def pack() -> tuple[Tensor, Tensor]:
            weight, bias = (made.detach().to(dtype).contiguous() for made in weights())
            return torch.ops.mkldnn._reorder_linear_weight(weight, None), bias

        weight, bias = self._packed(pack, (dtype,), *of)
        return torch.ops.mkldnn._linear_pointwise(x.to(dtype), weight, bias, after, [], "")


class Linear(nn.Linear):
    """``nn.Linear``, and a ReLU behind it in one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self._product = PackedProduct()
        self._packed = Kept()

    def forward(self, x: Tensor, *, relu: bool = False, then: "Linear | None" = None) -> Tensor:
        """(..., inputs) to (..., outputs), through a ReLU where asked for.

        Args:
            x: numbers, or the codes that another one has made for this one.
            relu: whether it is followed by one.
            then: what the result is for alone; it may be codes for that.
        """
        dtype = torch.get_autocast_dtype("cpu") if x.dtype == torch.uint8 else packed_dtype(x)
        if dtype is None or self.weight.is_inference():
            y = super().forward(x)
            # Not in place: ``y`` is a view, whose gradient would be copied thrice.
            return F.relu(y) if relu else y
        after = "relu" if relu else "none"
        given = known_range(self)
        if given is not None:
            return self._product_of_codes(x, given, known_range(then) or dtype, after)
        of = (self.weight, self.bias)
        return self._product(x, dtype, lambda: of, of, after)

    def _product_of_codes(
        self, x: Tensor, given: Range, to: Range | torch.dtype, after: str
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        codes = rows if x.dtype == torch.uint8 else given.codes(rows)

        def pack() -> Weights8:
            return pack_linear(self.weight.detach(), self.bias.detach(), len(rows))

        weights = self._packed(pack, (given, len(rows)), self.weight, self.bias)
        return multiply(codes, given, weights, to, after).unflatten(0, x.shape[:-1])


class PackedAttention(MultiheadAttention):
    """Attention whose projections are packed; keys and values may come from outside."""

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__(dim, num_heads, dropout, linear=Linear)
        self._products = tuple(PackedProduct() for _ in range(3))

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None = None
    ) -> Tensor:
        dtype = packed_dtype(query)
        if dtype is None or self.in_proj_weight.is_inference():
            return super().forward(query, key, value, visible)
        q, k, v = (
            project(product, x, dtype, [self], place)[0]
            for place, (product, x) in enumerate(
                zip(self._products, (query, key, value), strict=True)
            )
        )
        return self.mixed(q, k, v, visible)

    def to_projected(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attend to what :func:`project` has made, outside training; see ``mixed``."""
        [q] = project(self._products[0], query, keys.dtype, [self], 0)
        return self.mixed(q, keys, values, mask)


def project(
    product: PackedProduct,
    x: Tensor,
    dtype: torch.dtype,
    attentions: Sequence[MultiheadAttention],
    place: int,
) -> tuple[Tensor, ...]:
    """What attentions that look at the same numbers (B, S, C) make of them, in one product.

    Args:
        product: keeps their weights.
        x: the numbers.
        dtype: the type to compute in.
        attentions: those.
        place: 0 for queries, 1 for keys, 2 for values.

    Returns:
        (B, S, C) for each.
    """
    both = [(a.in_proj_weight, a.in_proj_bias) for a in attentions]

    def weights() -> tuple[Tensor, Tensor]:
        rows = ([t.chunk(3)[place] for t in kind] for kind in zip(*both, strict=True))
        weight, bias = (torch.cat(of_all) for of_all in rows)
        return weight, bias

    return product(x, dtype, weights, [t for pair in both for t in pair]).chunk(len(both), -1)


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b of float32 matrices; where ``b`` is wide, PyTorch's own takes a CPU twice as long."""
    if packed_dtype(a) is None:
        return a @ b
    return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")


def short_softmax(weights: Tensor) -> Tensor:
    """Over the last axis, which is short: PyTorch's own takes a CPU five times as long."""
    if packed_dtype(weights) is None:
        return weights.softmax(-1)
    weights = weights.float()
    shares = (weights - weights.amax(-1, keepdim=True)).exp_()
    return shares.div_(shares.sum(-1, keepdim=True))
