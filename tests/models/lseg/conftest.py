"""A narrow LSeg on a split of five classes, and batches for it."""

from collections.abc import Callable

import pytest
import torch

from pading.config import check_settings, load_config
from pading.models.lseg.lseg import LSeg
from pading.models.registry import build_model
from pading.vocabulary.splits import ClassInfo, ClassSplit
from tests.models.recordings import ROOT

UNSEEN = (1, 3)
WIDTH = 12
VIT = {
    "MODEL.BACKBONE.NAME": "TokenBackbone",
    "MODEL.TOKENS.NAME": "vit_tiny_patch16_224",
    "MODEL.TOKENS.OPTIONS": ["depth", 4, "embed_dim", 24, "num_heads", 2, "img_size", 64],
    "MODEL.TOKENS.TAPS": [0, 1, 2, 3],
    "MODEL.TOKENS.CHANNELS": [6, 8, 10, 12],
}
_NARROW = {
    "MODEL.DEVICE": "cpu",
    "MODEL.CONVNET.WIDTHS": [6, 8, 8, 10],
    "MODEL.CONVNET.DEPTH": 1,
    "MODEL.LSEG.CHANNELS": 8,
}


@pytest.fixture
def make_lseg(rng: torch.Generator) -> Callable[..., LSeg]:
    """Give ``make({key: value, ...})``: a model with fresh weights."""
    classes = tuple(
        ClassInfo(i + 1, name, isthing=True, unseen=i in UNSEEN)
        for i, name in enumerate(("cup", "fork", "table", "floor", "spoon"))
    )
    split = ClassSplit("kitchen", classes)
    vectors = torch.randn(len(classes), WIDTH, generator=rng)

    def make(overrides: dict[str, object] | None = None) -> LSeg:
        pairs = [str(part) for pair in {**_NARROW, **(overrides or {})}.items() for part in pair]
        cfg = load_config(str(ROOT / "configs" / "shapes" / "semantic" / "LSeg.yaml"), pairs)
        check_settings(cfg)
        model = build_model(cfg, split, vectors)
        assert isinstance(model, LSeg)
        return model

    return make
