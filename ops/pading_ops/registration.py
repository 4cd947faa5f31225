"""What torch.library is told in Python of the compiled operators: fake, autograd, autocast.

Importing this module loads the extension, which holds the schema and the CPU and CUDA kernels.
"""

from typing import Any

import torch
from torch import Tensor

import pading_ops._C  # noqa: F401
from pading_ops.transforms import lowered

_FORWARD = "pading_ops::ms_deform_attn"
_BACKWARD = "pading_ops::ms_deform_attn_backward"
_library = torch.library.Library("pading_ops", "FRAGMENT")


@torch.library.register_fake(_FORWARD)
def _forward_fake(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    B, _, M, D = value.shape
    return value.new_empty((B, sampling_locations.shape[1], M * D))


@torch.library.register_fake(_BACKWARD)
def _backward_fake(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        value.new_empty(value.shape),
        sampling_locations.new_empty(sampling_locations.shape),
        attention_weights.new_empty(attention_weights.shape),
    )


def _save_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    grad_value, grad_locations, grad_attention = torch.ops.pading_ops.ms_deform_attn_backward(
        grad_output, *ctx.saved_tensors
    )
    return grad_value, None, None, grad_locations, grad_attention


def _refuse_second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(
        "ms_deform_attn has no second derivative: its backward pass is not differentiable"
    )


torch.library.register_autograd(_FORWARD, _differentiate, setup_context=_save_inputs)
torch.library.register_autograd(_BACKWARD, _refuse_second_derivative)


def _autocast(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    value, locations, weights = lowered(value, sampling_locations, attention_weights)
    with torch.autocast(value.device.type, enabled=False):
        return torch.ops.pading_ops.ms_deform_attn(
            value, spatial_shapes, level_start_index, locations, weights
        )


for _key in ("AutocastCPU", "AutocastCUDA"):
    _library.impl("ms_deform_attn", _autocast, _key)
