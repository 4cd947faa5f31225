"""Multi-scale deformable attention as a composition of PyTorch's own operators."""

import torch
import torch.nn.functional as F
from torch import Tensor


def ms_deform_attn_reference(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """The plain PyTorch version of :func:`pading_ops.ms_deform_attn`: same arguments, same result.

    One ``grid_sample`` per level. It is the oracle of the tests; it is slow, and reads
    ``spatial_shapes`` on the host. Half types are computed in float32.
    """
    B, _, M, D = value.shape
    Q, P = sampling_locations.shape[1], sampling_locations.shape[4]
    real = sampling_locations.dtype
    # A point at NaN or infinity contributes nothing, and no gradient flows through it.
    finite = sampling_locations.isfinite().all(-1)
    grid = torch.where(finite[..., None], 2 * sampling_locations - 1, -3)
    weights = torch.where(finite, attention_weights, 0)
    output = value.new_zeros((B * M, D, Q), dtype=real)
    start = 0
    for level, (height, width) in enumerate(spatial_shapes.tolist()):
        rows = value[:, start : start + height * width].to(real)
        start += height * width
        if height * width * B * Q * M * D * P == 0:
            continue
        image = rows.permute(0, 2, 3, 1).reshape(B * M, D, height, width)
        points = grid[:, :, :, level].transpose(1, 2).reshape(B * M, Q, P, 2)
        sampled = F.grid_sample(
            image, points, mode="bilinear", padding_mode="zeros", align_corners=False
        )
        weight = weights[:, :, :, level].transpose(1, 2).reshape(B * M, 1, Q, P)
        output = output + (sampled * weight).sum(-1)
    return output.view(B, M * D, Q).transpose(1, 2).contiguous().to(value.dtype)
