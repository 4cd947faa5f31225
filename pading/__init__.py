"""Universal zero-shot segmentation on Detectron2; importing it registers the models."""

from pading.config import load_config
from pading.data.datasets import register_datasets
from pading.losses import SetCriterion, ZeroShotCriterion
from pading.modeling import Mask2Former, PADing, SwinTransformer
from pading.prediction import Predictor

__version__ = "0.1.0"

__all__ = [
    "Mask2Former",
    "PADing",
    "Predictor",
    "SetCriterion",
    "SwinTransformer",
    "ZeroShotCriterion",
    "__version__",
    "load_config",
    "register_datasets",
]
