"""Prediction on images of one's own: a call for one image, and a run over many files.

Each name loads what it needs when it is asked for: results are made without PyTorch as well.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pading.prediction.image_files import find_images, predict_files
    from pading.prediction.predictor import Predictor, load
    from pading.prediction.result import PanopticResult, Prediction

_HOMES = {
    "PanopticResult": "result",
    "Prediction": "result",
    "Predictor": "predictor",
    "find_images": "image_files",
    "load": "predictor",
    "predict_files": "image_files",
}

__all__ = ["PanopticResult", "Prediction", "Predictor", "find_images", "load", "predict_files"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
