"""Sine positions of feature maps (Vaswani et al. 2017, in the two-dimensional form of DETR)."""

import math

import torch
from torch import Tensor

_TEMPERATURE = 10000.0
_EPSILON = 1e-6


def sine_positions(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Encode each cell's row in the first half of the channels and its column in the second.

    Args:
        height, width: size of the map in cells.
        channels: C, a multiple of 4.
        device: where to put the result.

    Returns:
        (C, height, width) float32; coordinates are normalised to (0, 2 pi].
    """
    if channels % 4:
        raise ValueError(f"position encoding needs a multiple of 4 channels, got {channels}")
    half = channels // 2
    exponent = torch.arange(half, device=device).div(2, rounding_mode="floor") * 2 / half
    frequency = _TEMPERATURE**-exponent

    def encode(length: int) -> Tensor:
        steps = torch.arange(1, length + 1, device=device, dtype=torch.float32)
        angle = (steps / (length + _EPSILON) * 2 * math.pi)[:, None] * frequency
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1).T

    rows, columns = encode(height), encode(width)
    return torch.cat(
        (
            rows[:, :, None].expand(half, height, width),
            columns[:, None, :].expand(half, height, width),
        )
    )
