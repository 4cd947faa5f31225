"""Prediction from an exported model, with onnxruntime, NumPy and Pillow alone.

    import pading.runtime
    model = pading.runtime.load("model.onnx")
    model.predict("photo.jpg").save("found")

Neither torch nor Detectron2 is imported.
"""

from pading.runtime.onnx_predictor import OnnxPredictor, load

__all__ = ["OnnxPredictor", "load"]
