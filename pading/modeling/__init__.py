"""The segmenter, the generator and their meta architectures."""

from pading.modeling.backbone.swin import SwinTransformer
from pading.modeling.pading import PADing
from pading.modeling.segmenter import Mask2Former

__all__ = ["Mask2Former", "PADing", "SwinTransformer"]
