"""The narrowest model that is still whole, for tests that build or train one."""

from pathlib import Path

import torch
from torch import nn

from pading import load_config, register_datasets
from pading.engine.building import configured_model

SHAPES = Path(__file__).resolve().parents[1] / "configs" / "shapes" / "PADing.yaml"

NARROW = {
    "MODEL.DEVICE": "cpu",
    "MODEL.SEGMENTER.HIDDEN_DIM": 32,
    "MODEL.SEGMENTER.MASK_DIM": 32,
    "MODEL.SEGMENTER.NUM_QUERIES": 8,
    "MODEL.SEGMENTER.DECODER_LAYERS": 2,
    "MODEL.SEGMENTER.DECODER_FFN_DIM": 32,
    "MODEL.SEGMENTER.ENCODER_FFN_DIM": 32,
    "MODEL.SEGMENTER.LOSS.NUM_POINTS": 64,
    "MODEL.GENERATOR.NAME": "primitives",
    "MODEL.GENERATOR.NUM_PRIMITIVES": 5,
    "MODEL.GENERATOR.NUM_LAYERS": 1,
    "MODEL.GENERATOR.FFN_DIM": 32,
    "MODEL.INFERENCE.OBJECT_SCORE_THRESHOLD": 0.0,
}
# The published architecture, where a test is about it.
RESNET = {
    "MODEL.BACKBONE.NAME": "build_resnet_backbone",
    "MODEL.RESNETS.NORM": "BN",
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 16,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 32,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.SEGMENTER.FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.SEGMENTER.ENCODER_FEATURES": ["res3", "res4", "res5"],
    "MODEL.SEGMENTER.SIZE_DIVISIBILITY": 32,
    "MODEL.SEGMENTER.MASK_POOLING": False,
    "MODEL.SEGMENTER.LOSS.SEGMENT_WEIGHT": 0.0,
}
NARROW_OVERRIDES = [str(part) for pair in NARROW.items() for part in pair]
# Where the configuration has the full R-50 and the full pixel decoder.
NARROW_R50_OVERRIDES = [
    *NARROW_OVERRIDES,
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", "8", "MODEL.RESNETS.RES2_OUT_CHANNELS", "16"),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", "4", "MODEL.SEGMENTER.ENCODER_LAYERS", "1"),
]


def narrow_model(stage: str) -> nn.Module:
    """A narrow model of "pretrain" or "PADing" for Shapes, with fresh weights."""
    cfg = load_config(str(SHAPES.with_name(f"{stage}.yaml")), NARROW_OVERRIDES)
    register_datasets(cfg)
    return configured_model(cfg)


def save_random_weights(folder: Path) -> Path:
    """A checkpoint of the narrow model of :data:`SHAPES`, as training leaves it."""
    torch.manual_seed(0)
    path = folder / "model_final.pth"
    torch.save({"model": narrow_model(SHAPES.stem).state_dict()}, path)
    return path
