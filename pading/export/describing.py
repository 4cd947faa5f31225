"""What an exported file says of its model: classes, vectors, normalisation, settings."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode

import pading
from pading.export.network import IMAGES, ExportedNetwork, Sizes
from pading.models.base import SegmentationModel

VECTORS = "class_vectors"


def description(
    cfg: CfgNode, model: SegmentationModel, sizes: Sizes, outputs: dict[str, Any]
) -> dict[str, Any]:
    """As :class:`pading.runtime.description.Description` reads it.

    Args:
        cfg: the model's configuration.
        model: the model.
        sizes: what is fixed.
        outputs: what else to say, of the graph.
    """
    inference = asdict(model.inference)
    del inference["dtype"], inference["int8_ranges"]  # graphs are in float32
    return {
        "pading": pading.__version__,
        "torch": torch.__version__,
        "system": cfg.MODEL.META_ARCHITECTURE,
        "split": model.split.record(),
        "pixels": {
            "input": IMAGES,
            "format": cfg.INPUT.FORMAT,
            "mean": model.pixel_mean.flatten().tolist(),
            "std": model.pixel_std.flatten().tolist(),
            "min_size": cfg.INPUT.MIN_SIZE_TEST,
            "max_size": cfg.INPUT.MAX_SIZE_TEST,
            "divisibility": max(1, model.size_divisibility),
            "divisor": model.image_divisor,
            "size": sizes.image,
            "batch": sizes.batch,
        },
        "inference": inference,
        "reading": model.reading(),
        "class_inputs": list(ExportedNetwork(model).class_inputs),
        **outputs,
    }


def described_tensors(model: SegmentationModel) -> dict[str, np.ndarray]:
    """The class inputs as they are, and the class vectors where the model has any."""
    tensors = ExportedNetwork(model).class_inputs
    if model.class_vectors is not None:
        tensors.setdefault(VECTORS, model.class_vectors.detach().float())
    return {name: value.cpu().numpy() for name, value in tensors.items()}
