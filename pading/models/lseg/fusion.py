"""Four scales fused into one map, from the coarsest to the finest (RefineNet, as DPT has it)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from pading.layers.batch_norm import SharedBatchNorm2d


class ResidualUnit(nn.Module):
    """x + BN(conv(ReLU(BN(conv(ReLU(x)))))), with 3 x 3 convolutions.

    Batch statistics are those of all processes.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = SharedBatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = SharedBatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        inner = self.bn1(self.conv1(x.relu())).relu()
        return x + self.bn2(self.conv2(inner))


class FusionStage(nn.Module):
    """What comes from a coarser scale, refined with the map of this one."""

    def __init__(self, channels: int, coarsest: bool) -> None:
        """
        Args:
            channels: C.
            coarsest: the first stage has no coarser one to add.
        """
        super().__init__()
        self.skip_unit = None if coarsest else ResidualUnit(channels)
        self.unit = ResidualUnit(channels)
        self.output = nn.Conv2d(channels, channels, 1)

    def refined(self, skip: Tensor, coarser: Tensor | None) -> Tensor:
        """All but the output's convolution; (B, C, h, w)."""
        if self.skip_unit is not None:
            skip = self.skip_unit(skip) + coarser
        return self.unit(skip)

    def forward(self, skip: Tensor, coarser: Tensor | None) -> Tensor:
        """
        The published network convolves what it has enlarged. A 1 x 1 convolution and a bilinear
        enlargement commute, and this way around a quarter of the pixels are convolved.

        Args:
            skip: (B, C, h, w).
            coarser: the same shape, or None.

        Returns:
            (B, C, h, w), to be enlarged.
        """
        return self.output(self.refined(skip, coarser))


class Fusion(nn.Module):
    """A pyramid to one map at the scale of its finest."""

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        """
        Args:
            in_channels: of the maps, the finest first.
            channels: C.
        """
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Conv2d(c, channels, 3, padding=1, bias=False) for c in in_channels
        )
        last = len(in_channels) - 1
        self.stages = nn.ModuleList(FusionStage(channels, i == last) for i in range(last + 1))

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """
        Args:
            pyramid: maps (B, C_i, h_i, w_i), the finest first.

        Returns:
            (B, C, h_1, w_1): the last stage before its output's convolution, which the embeddings'
            is merged with.
        """
        skips = [project(x) for project, x in zip(self.projections, pyramid, strict=True)]
        coarser = None
        for stage, skip, finer in zip(
            reversed(self.stages[1:]), reversed(skips[1:]), reversed(skips[:-1]), strict=True
        ):
            coarser = enlarged(stage(skip, coarser), finer.shape[-2:])
        return self._finest.refined(skips[0], coarser)

    @property
    def _finest(self) -> FusionStage:
        stage = self.stages[0]
        assert isinstance(stage, FusionStage)
        return stage

    @property
    def last_output(self) -> nn.Conv2d:
        """The output's convolution that :meth:`forward` leaves to be merged."""
        return self._finest.output


def enlarged(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, corners on corners, as everywhere in DPT."""
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)
