"""A narrow model of every system, ready to predict, with random weights."""

from collections.abc import Callable

import torch

from pading import Predictor, load_config
from pading.config import check_settings
from pading.models.registry import build_model
from tests.models import fourth_system  # noqa: F401 (registers itself)
from tests.models.lseg.conftest import VIT
from tests.models.zegclip.conftest import NARROW as NARROW_ZEGCLIP
from tests.models.zegclip.conftest import narrow_split
from tests.narrow import NARROW, SHAPES

SEMANTIC = SHAPES.parent / "semantic"
# Few layers: it is layers that take time to export.
CONVNET = {
    "MODEL.BACKBONE.NAME": "PlainConvNet",
    "MODEL.CONVNET.WIDTHS": [8, 8, 8, 8, 8],
    "MODEL.CONVNET.DEPTH": 1,
}
TWO_LEVELS = {
    "MODEL.SEGMENTER.ENCODER_FEATURES": ["res4", "res5"],
    "MODEL.SEGMENTER.FEATURES": ["res3", "res4", "res5"],
}
QUERIES = {**NARROW, **CONVNET, **TWO_LEVELS}
# What the backbone sees is classified with the queries.
WIDE = {"MODEL.GENERATOR.NAME": "ridge", "MODEL.ZERO_SHOT.BACKBONE_FEATURES": ["res4", "res5"]}
# Patches of 16 pixels: attention to all of a large image is quick.
TOWER = ["embed_dim", 24, "width", 32, "layers", 3, "head_width", 16, "image_size", 64]
ALL_TASKS = {
    "MODEL.INFERENCE.INSTANCE_ON": True,
    "MODEL.INFERENCE.SEMANTIC_ON": True,
    "MODEL.INFERENCE.OVERLAP_THRESHOLD": 0.0,
    "MODEL.INFERENCE.SEEN_BIAS": 0.01,
}
SETTINGS = {
    "segmenter": (SHAPES.with_name("pretrain.yaml"), {**QUERIES, **ALL_TASKS}, 0),
    "zero_shot": (SHAPES, {**QUERIES, **WIDE, **ALL_TASKS}, 20),
    "pixel_text": (
        SEMANTIC / "LSeg.yaml",
        {**VIT, "MODEL.LSEG.CHANNELS": 8, "MODEL.INFERENCE.FLIP": True},
        12,
    ),
    "clip": (
        SEMANTIC / "ZegCLIP.yaml",
        {
            **NARROW_ZEGCLIP,
            "MODEL.CLIP.OPTIONS": [*TOWER, "patch_size", 16],
            "MODEL.INFERENCE.WINDOW": [96, 80],
            "MODEL.INFERENCE.STRIDE": [64, 64],
        },
        24,
    ),
    "fourth": (
        SHAPES.with_name("semantic") / "pretrain.yaml",
        {
            "MODEL.META_ARCHITECTURE": "FourthSystem",
            "MODEL.BACKBONE.NAME": "build_timm_backbone",
            "MODEL.TIMM.NAME": "resnet10t",
        },
        12,
    ),
}


def narrow_predictor(name: str, overrides: dict[str, object] | None = None) -> Predictor:
    """A model of :data:`SETTINGS` over five classes."""
    config, settings, width = SETTINGS[name]
    settings = {**settings, **(overrides or {}), "MODEL.DEVICE": "cpu"}
    cfg = load_config(str(config), [str(part) for pair in settings.items() for part in pair])
    check_settings(cfg)
    vectors = torch.randn(5, width) if width else None
    model = build_model(cfg, narrow_split(), vectors)
    for key, parameter in model.named_parameters():
        if key.endswith(("class_embed.bias", "classifier.bias")):
            parameter.data[-1] -= 2.0  # some random weights call all queries no object
    return Predictor(cfg, model)


Make = Callable[..., Predictor]
