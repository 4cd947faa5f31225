"""A small convolutional encoder that trains from nothing in minutes."""

from collections.abc import Sequence

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import Tensor, nn

from pading.layers.batch_norm import SharedBatchNorm2d


@BACKBONE_REGISTRY.register()
class PlainConvNet(Backbone):
    """Stages of 3 x 3 convolutions with batch norm; each halves the size.

    Gives res1 (stride 2), res2, ...; batch statistics are those of all processes.
    """

    @configurable
    def __init__(self, *, widths: Sequence[int], depth: int) -> None:
        """
        Args:
            widths: channels of each stage, the finest (stride 2) first.
            depth: convolutions of each stage.
        """
        super().__init__()
        self.stages = nn.ModuleList()
        self._channels = {f"res{i}": width for i, width in enumerate(widths, 1)}
        channels = 3
        for width in widths:
            layers: list[nn.Module] = []
            for i in range(depth):
                stride = 2 if i == 0 else 1
                layers += [
                    nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
                    SharedBatchNorm2d(width),
                    nn.ReLU(),
                ]
                channels = width
            self.stages.append(nn.Sequential(*layers))

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        return {"widths": cfg.MODEL.CONVNET.WIDTHS, "depth": cfg.MODEL.CONVNET.DEPTH}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) -> maps (B, C_i, H / 2^i, W / 2^i) by name."""
        features = {}
        x = images
        for name, stage in zip(self._channels, self.stages, strict=True):
            features[name] = x = stage(x)
        return features

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {
            name: ShapeSpec(channels=width, stride=2**i)
            for i, (name, width) in enumerate(self._channels.items(), 1)
        }

    @property
    def size_divisibility(self) -> int:
        """Of the coarsest stage."""
        return 2 ** len(self._channels)
