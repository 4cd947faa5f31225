"""A fourth system: a linear map of a backbone's features, compared with class vectors."""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from torch import Tensor, nn
from torch.nn import functional as F

from pading.models.pixel_classifier import PixelClassifier
from pading.vocabulary.splits import ClassSplit


@META_ARCH_REGISTRY.register()
class FourthSystem(PixelClassifier):
    """Two scales of a backbone, one embedding per pixel, a cosine to each class vector."""

    @configurable
    def __init__(self, *, backbone: nn.Module, head: nn.Module, scale: float, **common: Any):
        super().__init__(**common)
        self.backbone, self.head, self.scale = backbone, head, scale

    @classmethod
    def from_config(
        cls, cfg: CfgNode, split: ClassSplit, class_vectors: Tensor | None = None
    ) -> dict[str, Any]:
        common = super().from_config(cfg, split, class_vectors)
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        channels = sum(shapes[name].channels for name in ("res2", "res4"))
        head = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, common["class_vectors"].shape[1], 1),
        )
        return common | {
            "backbone": backbone,
            "head": head,
            "scale": 1 / 0.07,
            "size_divisibility": 32,
        }

    def network(self, images: Tensor) -> Tensor:
        features = self.backbone(images)
        fine, coarse = features["res2"], features["res4"]
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        pixels = F.normalize(self.head(torch.cat((fine, coarse), dim=1)), dim=1)
        texts = F.normalize(self.class_vectors, dim=1)
        return self.scale * torch.einsum("bdhw,kd->bkhw", pixels, texts)
