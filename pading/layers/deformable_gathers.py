"""Multi-scale deformable attention out of gathers and bilinear weights, for exported graphs."""

from collections.abc import Sequence

import torch
from torch import Tensor


def ms_deform_attn_gathers(
    value: Tensor,
    sizes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """:func:`pading_ops.ms_deform_attn` of operators that every runtime has; for inference.

    No ``grid_sample``, which TensorRT and OpenVINO have refused or miscompiled, and no shape is
    read from a tensor, so that sizes may stay symbols.

    Args:
        value, sampling_locations, attention_weights: see there; points are finite.
        sizes: of each level, height and width.
    """
    B, S, M, D = value.shape
    Q = sampling_locations.shape[1]
    rows = value.reshape(B * S * M, D)
    # Row of the first pixel of each image and head; pixels are M rows apart.
    image = torch.arange(B, device=value.device)[:, None, None, None] * (S * M)
    first = image + torch.arange(M, device=value.device)[:, None]
    output = value.new_zeros(B * Q * M, D)
    start = 0
    for level, (height, width) in enumerate(sizes):
        x = sampling_locations[:, :, :, level, :, 0] * width - 0.5
        y = sampling_locations[:, :, :, level, :, 1] * height - 0.5
        left, top = x.floor(), y.floor()
        weight = attention_weights[:, :, :, level]
        for down in (0, 1):
            for right in (0, 1):
                column, row = left + right, top + down
                share = (1 - (x - column).abs()) * (1 - (y - row).abs()) * weight
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                share = share * inside.to(share.dtype)
                place = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
                index = first + (start + place) * M  # (B, Q, M, P)
                found = rows.index_select(0, index.flatten()).unflatten(0, (B * Q * M, -1))
                output = output + (found * share.flatten(0, 2)[..., None]).sum(1)
        start = start + height * width
    return output.reshape(B, Q, M * D)
