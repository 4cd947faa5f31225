"""The op in forward mode and in torch.func's transforms (grad, jvp, vmap and what they make up).

PyTorch's dispatcher knows the op's backward pass alone: in forward mode it would take the tangent
for 0, and in transforms it has no rule. There :func:`ms_deform_attn_transformed` takes its place.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

Dims = tuple[int | None, ...]


def is_transformed() -> bool:
    """Whether a transform of torch.func or a level of forward mode is active."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


@torch.compiler.disable
def ms_deform_attn_transformed(*inputs: Tensor) -> Tensor:
    """:func:`pading_ops.ms_deform_attn`, with its tangent and its rule for batches."""
    value, shapes, starts, locations, weights = inputs
    device = value.device.type
    if torch.is_autocast_enabled(device):
        # Here rather than inside, where the backward pass would meet other types.
        value, locations, weights = lowered(value, locations, weights)
    with torch.autocast(device, enabled=False):
        return _Attention.apply(value, shapes, starts, locations, weights)


def lowered(value: Tensor, locations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value in autocast's lower precision, points and weights in float32; float64 stays."""
    small = locations.dtype
    if value.dtype != torch.float64:
        value = value.to(torch.get_autocast_dtype(value.device.type))
        small = torch.float32
    return value, locations.to(small), weights.to(small)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(*inputs: Tensor) -> Tensor:
        return torch.ops.pading_ops.ms_deform_attn(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        grad_value, grad_locations, grad_weights = _Backward.apply(grad_output, *ctx.saved_tensors)
        return grad_value, None, None, grad_locations, grad_weights

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        # PyTorch switches forward mode off in here, and would lose the tangent's own tangent.
        with forward_ad._set_fwd_grad_enabled(True):
            primals = [forward_ad.unpack_dual(t).primal for t in ctx.saved_tensors]
            return _tangent(primals, tangents)

    @staticmethod
    def vmap(info: Any, in_dims: Dims, *inputs: Tensor) -> tuple[Tensor, int]:
        output = _Attention.apply(*_folded(info.batch_size, in_dims, inputs))
        return _unfolded(output, info.batch_size), 0


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ops.pading_ops.ms_deform_attn_backward(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        """Nothing to keep: it cannot be differentiated."""

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise RuntimeError(
            "ms_deform_attn has no second derivative: its backward pass is not differentiable"
        )

    jvp = backward

    @staticmethod
    def vmap(info: Any, in_dims: Dims, *inputs: Tensor) -> tuple[tuple[Tensor, ...], Dims]:
        gradients = _Backward.apply(*_folded(info.batch_size, in_dims, inputs))
        return tuple(_unfolded(g, info.batch_size) for g in gradients), (0, 0, 0)


def _tangent(inputs: Sequence[Tensor], tangents: Sequence[Tensor]) -> Tensor:
    """Linear in value and weights; along an axis, as far as the next pixel's line, in a point.

    So each part of the tangent is the op itself: of value's tangent; with the weights' tangent;
    and with a point on either line beside each point, weighted with the slope's two signs.
    """
    value, shapes, starts, locations, weights = inputs
    along_value, _, _, along_locations, along_weights = tangents
    extent = shapes.flip(-1).to(locations.dtype)[:, None]  # (L, 1, 2) as (x, y)
    before = ((locations * extent - 0.5).floor() + 0.5) / extent
    slope = weights[..., None] * along_locations * extent
    points, factors = [locations], [along_weights]
    for axis in (0, 1):
        for line, sign in ((before + 1 / extent, 1), (before, -1)):
            x, y = (line, locations) if axis == 0 else (locations, line)
            points.append(torch.stack([x[..., 0], y[..., 1]], -1))
            factors.append(sign * slope[..., axis])
    moved, factor = torch.cat(points, -2), torch.cat(factors, -1)
    return _Attention.apply(value, shapes, starts, moved, factor) + _Attention.apply(
        along_value, shapes, starts, locations, weights
    )


def _folded(size: int, in_dims: Dims, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Inputs with vmap's batch in front of their own; all have one, but for the levels' sizes."""
    result = []
    for tensor, dim in zip(inputs, in_dims, strict=True):
        if tensor.dtype == torch.int64:
            if dim is not None:
                raise ValueError(
                    "ms_deform_attn under vmap: spatial_shapes and level_start_index are those of "
                    "the whole batch; leave them out of in_dims"
                )
            result.append(tensor)
            continue
        batched = tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        result.append(batched.flatten(0, 1))
    return result


def _unfolded(tensor: Tensor, size: int) -> Tensor:
    return tensor.unflatten(0, (size, tensor.shape[0] // size))
