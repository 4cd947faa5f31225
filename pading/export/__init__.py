"""A trained model out of Python: ONNX, torch.export and AOTInductor files."""

from pading.export.exporting import export_model
from pading.export.network import Sizes

__all__ = ["Sizes", "export_model"]
