"""Narrow models with fresh weights, as checkpoints that carry all that the page needs."""

from pathlib import Path

import torch

from pading import load_config, register_datasets
from pading.checkpoint.checkpointer import Checkpointer
from pading.engine.building import configured_model
from tests.narrow import NARROW_OVERRIDES, SHAPES

_QUERIES = (
    *NARROW_OVERRIDES,
    *("MODEL.INFERENCE.OVERLAP_THRESHOLD", "0.0"),
    *("MODEL.INFERENCE.INSTANCE_ON", "True", "MODEL.INFERENCE.SEMANTIC_ON", "True"),
)
_PIXELS = (
    *("MODEL.DEVICE", "cpu", "MODEL.CONVNET.WIDTHS", "[6, 8, 8, 10]"),
    *("MODEL.CONVNET.DEPTH", "1", "MODEL.LSEG.CHANNELS", "8"),
)


def save_models(folder: Path) -> tuple[Path, Path]:
    """One that gives all results, and one that compares pixels with any text."""
    torch.manual_seed(0)
    per_pixel = SHAPES.parent / "semantic" / "LSeg.yaml"
    paths = []
    for name, config, overrides in (("queries", SHAPES, _QUERIES), ("pixels", per_pixel, _PIXELS)):
        cfg = load_config(str(config), list(overrides))
        register_datasets(cfg)
        checkpointer = Checkpointer(configured_model(cfg), str(folder))
        checkpointer.config = cfg.dump()
        checkpointer.save(name)
        paths.append(folder / f"{name}.pth")
    return paths[0], paths[1]
