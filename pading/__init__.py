"""Universal zero-shot segmentation on Detectron2.

``import pading`` loads neither torch nor Detectron2: a public name loads what it needs when it is
asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pading.backbones.swin import SwinTransformer
    from pading.commands.train import train
    from pading.config import list_configs, load_config
    from pading.data.catalogue import register_datasets
    from pading.export import export_model
    from pading.models.mask2former import Mask2Former
    from pading.models.pading.stage_two import PADing
    from pading.models.registry import list_models
    from pading.prediction import Predictor, load

_HOMES = {
    "Mask2Former": "pading.models.mask2former",
    "PADing": "pading.models.pading.stage_two",
    "Predictor": "pading.prediction",
    "SwinTransformer": "pading.backbones.swin",
    "export_model": "pading.export",
    "list_configs": "pading.config",
    "list_models": "pading.models.registry",
    "load": "pading.prediction",
    "load_config": "pading.config",
    "register_datasets": "pading.data.catalogue",
    "train": "pading.commands.train",
}

__all__ = [
    "Mask2Former",
    "PADing",
    "Predictor",
    "SwinTransformer",
    "__version__",
    "export_model",
    "list_configs",
    "list_models",
    "load",
    "load_config",
    "register_datasets",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
