"""From tokens of four depths to maps of four scales (DPT: Ranftl et al., ICCV 2021, section 3)."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Readout = Literal["project", "ignore", "add"]
STRIDES = (4, 8, 16, 32)
"""What the maps' strides are, or come next to where the patch is no power of two."""


class ReadoutProjection(nn.Module):
    """Tells every patch token what the class token knows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * width, width)

    def forward(self, patches: Tensor, class_token: Tensor) -> Tensor:
        """
        Args:
            patches: (B, d, h, w).
            class_token: (B, d).

        Returns:
            (B, d, h, w): GELU(W [patch; class token] + b).
        """
        # The class token's half of W gives the same for every patch: it is taken once.
        of_patch, of_class = self.project.weight.chunk(2, dim=1)
        shared = F.linear(class_token, of_class, self.project.bias)
        return F.gelu(F.conv2d(patches, of_patch[..., None, None]) + shared[..., None, None])


class ScaleReassembly(nn.Module):
    """The tokens of one depth to a map of one scale."""

    def __init__(self, width: int, channels: int, factor: float, readout: Readout) -> None:
        """
        Args:
            width: of the tokens.
            channels: of the map.
            factor: size of the map relative to the grid of patches, a power of two.
            readout: what becomes of the class token.
        """
        super().__init__()
        self.readout = ReadoutProjection(width) if readout == "project" else None
        self.adds_class_token = readout == "add"
        self.projection = nn.Conv2d(width, channels, 1)
        self.resize: nn.Module = nn.Identity()
        if factor > 1:
            by = round(factor)
            self.resize = nn.ConvTranspose2d(channels, channels, by, stride=by)
        elif factor < 1:
            by = round(1 / factor)
            self.resize = nn.Conv2d(channels, channels, 3, stride=by, padding=1)

    def forward(self, patches: Tensor, class_token: Tensor | None) -> Tensor:
        """(B, d, h, w) and (B, d) -> (B, channels, factor h, factor w)."""
        if class_token is not None:
            if self.readout is not None:
                patches = self.readout(patches, class_token)
            elif self.adds_class_token:
                patches = patches + class_token[..., None, None]
        return self.resize(self.projection(patches))


class Reassembly(nn.Module):
    """Tokens of four depths to a pyramid of four scales."""

    def __init__(
        self, width: int, patch_size: int, channels: Sequence[int], readout: Readout = "project"
    ) -> None:
        """
        Args:
            width: of the tokens.
            patch_size: pixels per patch.
            channels: of the four maps, the finest first.
            readout: how the class token takes part: a projection of it with each patch, not at all,
                or added. A backbone without a class token needs "ignore".
        """
        super().__init__()
        factors = scale_factors(patch_size)
        self.channels = list(channels)
        self.scales = nn.ModuleList(
            ScaleReassembly(width, c, factor, readout)
            for c, factor in zip(channels, factors, strict=True)
        )

    def forward(self, tapped: Sequence[tuple[Tensor, Tensor | None]]) -> list[Tensor]:
        """
        Args:
            tapped: of each depth the patches (B, d, h, w) and the class token (B, d).

        Returns:
            maps (B, C_i, ..), the finest first.
        """
        return [scale(*tokens) for scale, tokens in zip(self.scales, tapped, strict=True)]


def scale_factors(patch_size: int) -> list[float]:
    """Size of each map relative to the grid of patches; powers of two."""
    return [2.0 ** round(math.log2(patch_size / stride)) for stride in STRIDES]


def size_divisor(patch_size: int) -> int:
    """What height and width must be multiples of, so that the maps' sizes are exact."""
    return round(patch_size / min(1.0, *scale_factors(patch_size)))


def resized_positions(positions: Tensor, prefix: int, size: tuple[int, int]) -> Tensor:
    """Fit a learned position embedding to another grid, as DPT does.

    Args:
        positions: (1, prefix + n * n, d).
        prefix: how many tokens stand before the patches; their positions are kept.
        size: height and width of the grid.

    Returns:
        (1, prefix + height * width, d), bilinear, without antialiasing.
    """
    first, grid = positions[:, :prefix], positions[:, prefix:]
    side = math.isqrt(grid.shape[1])
    # To an exported graph the size is a symbol; resized to its own size a grid stays as it is.
    if not torch.compiler.is_exporting() and (side, side) == size:
        return positions
    grid = grid.transpose(1, 2).unflatten(2, (side, side))
    grid = F.interpolate(grid, size, mode="bilinear", align_corners=False)
    return torch.cat((first, grid.flatten(2).transpose(1, 2)), dim=1)
