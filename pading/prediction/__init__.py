"""Prediction on images of one's own: a call for one image, and a run over many files."""

from pading.prediction.image_files import find_images, predict_files
from pading.prediction.predictor import Predictor, load
from pading.prediction.result import PanopticResult, Prediction

__all__ = ["PanopticResult", "Prediction", "Predictor", "find_images", "load", "predict_files"]
