"""pading.layers.resizing_matrices: the numbers of F.interpolate, and their gradient."""

import pytest
import torch
from torch.nn import functional as F

from pading.layers.resizing_matrices import Bilinear


@pytest.mark.parametrize("target", [(3, 4), (7, 4), (3, 9), (11, 6), (2, 3)])
def test_as_interpolate(target: tuple[int, int], rng: torch.Generator) -> None:
    maps = torch.randn(2, 3, 3, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    resized = Bilinear((3, 4), target, maps)
    wanted = F.interpolate(maps, target, mode="bilinear", align_corners=False)
    torch.testing.assert_close(resized(maps), wanted)
    by = torch.randn(wanted.shape, generator=rng, dtype=torch.float64)
    [gradient] = torch.autograd.grad(wanted, maps, by)
    torch.testing.assert_close(resized.transposed(by), gradient)
