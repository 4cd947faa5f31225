"""Shapes of reference of the benchmark, and inputs of those shapes."""

from dataclasses import dataclass

import torch
from torch import Tensor

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class Setting:
    """One shape of reference: the sides of the square levels, batch, heads, channels, points."""

    sides: tuple[int, ...]
    B: int
    M: int
    D: int
    P: int = 4


SETTINGS = {
    "1024": Setting((128, 64, 32), B=1, M=8, D=32),
    "512": Setting((64, 32, 16), B=1, M=8, D=32),
    "demo": Setting((16, 8, 4), B=8, M=8, D=8),
}


def make_inputs(setting: Setting, dtype: torch.dtype, device: str) -> tuple[Tensor, ...]:
    """Arguments of the op and, last, a gradient of its output."""
    generator = torch.Generator().manual_seed(0)
    shapes = torch.tensor([(side, side) for side in setting.sides])
    sizes = shapes.prod(1)
    centres = [
        torch.cartesian_prod((torch.arange(side) + 0.5) / side, (torch.arange(side) + 0.5) / side)
        for side in setting.sides
    ]
    own = torch.cat(centres).flip(-1)[None, :, None, None, None]
    B, M, D, P = setting.B, setting.M, setting.D, setting.P
    S, L = int(sizes.sum()), len(sizes)
    offsets = 2 * torch.randn(B, S, M, L, P, 2, generator=generator)
    locations = own + offsets / shapes.flip(-1)[:, None]
    weights = torch.rand(B, S, M, L * P, generator=generator).softmax(-1).view(B, S, M, L, P)
    small = torch.float64 if dtype == torch.float64 else torch.float32
    value = torch.randn(B, S, M, D, generator=generator)
    grad_output = torch.randn(B, S, M * D, generator=generator)
    return (
        value.to(device, dtype),
        shapes.to(device),
        (sizes.cumsum(0) - sizes).to(device),
        locations.to(device, small),
        weights.to(device, small),
        grad_output.to(device, dtype),
    )
