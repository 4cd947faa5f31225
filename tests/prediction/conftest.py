"""A narrow model with random weights: what it predicts is nonsense, but as much as can be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from detectron2.config import CfgNode
from PIL import Image

from pading import load_config
from tests.narrow import NARROW_OVERRIDES, SHAPES, save_random_weights

OVERRIDES = [
    *NARROW_OVERRIDES,
    *("MODEL.INFERENCE.OVERLAP_THRESHOLD", "0.0"),
    *("MODEL.INFERENCE.INSTANCE_ON", "True", "MODEL.INFERENCE.SEMANTIC_ON", "True"),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def make_cfg(weights: Path) -> Callable[..., CfgNode]:
    """Give ``make_cfg(KEY, VALUE, ...)``."""

    def make(*overrides: object) -> CfgNode:
        pairs = [*OVERRIDES, "MODEL.WEIGHTS", weights, *overrides]
        return load_config(str(SHAPES), [str(part) for part in pairs])

    return make


@pytest.fixture
def image(seed: int) -> np.ndarray:
    """48 x 64, smooth enough for segments to differ."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC))
