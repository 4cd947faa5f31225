"""The public function, and the choice between the compiled op and the plain PyTorch version."""

import importlib.util
import warnings

import torch
from torch import Tensor

from pading_ops.reference import ms_deform_attn_reference
from pading_ops.transforms import is_transformed, ms_deform_attn_transformed

# False only where the package was built without the extension (BUILD_OPS=0). An extension that is
# there but does not load raises its own error below: it is never replaced by the slow path.
HAS_EXTENSION = importlib.util.find_spec("pading_ops._C") is not None

if HAS_EXTENSION:
    import pading_ops.registration  # noqa: F401
else:
    warnings.warn(
        "pading_ops was built without its extension: ms_deform_attn runs as the plain PyTorch "
        "version, many times slower. For the compiled one, rebuild with BUILD_OPS=1 "
        "(pip install --no-build-isolation -e .).",
        RuntimeWarning,
        stacklevel=2,
    )


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Multi-scale deformable attention (Zhu et al., ICLR 2021, eq. 3, without its projections).

    Every query and head reads L * P points of value by bilinear interpolation (zero outside a
    level, align_corners false: pixel centres lie at (i + 0.5) / size) and sums them with the
    attention weights.

    Args:
        value: (B, S, M, D), the levels' pixels one level after the other, row by row, for M heads
            of D channels; float32, float64, float16 or bfloat16. Half types are summed in float32.
        spatial_shapes: (L, 2) int64, each level's (height, width); the products sum to S.
        level_start_index: (L,) int64, the first row of each level in S.
        sampling_locations: (B, Q, M, L, P, 2), (x, y) in [0, 1] across the level; points at NaN or
            infinity contribute nothing. float64 beside a float64 value, else float32.
        attention_weights: (B, Q, M, L, P), of the same type as sampling_locations.

    Returns:
        (B, Q, M * D), of value's type. Differentiable once, in value, sampling_locations and
        attention_weights: in reverse and forward mode, and by torch.func (a compiler leaves its
        transforms to PyTorch). On the CPU both passes are deterministic; on CUDA the backward pass
        is not, and raises PyTorch's standard error under torch.use_deterministic_algorithms(True).

    Raises:
        ValueError: a wrong shape or device, or levels that do not fill S; the message names the
            argument. Levels on a GPU are checked there, by a device-side assertion.
        TypeError: a wrong type.

    Under autocast, value is cast to the lower precision, points and weights to float32.
    """
    if not HAS_EXTENSION:
        return ms_deform_attn_reference(
            value, spatial_shapes, level_start_index, sampling_locations, attention_weights
        )
    op = ms_deform_attn_transformed if is_transformed() else torch.ops.pading_ops.ms_deform_attn
    return op(value, spatial_shapes, level_start_index, sampling_locations, attention_weights)
