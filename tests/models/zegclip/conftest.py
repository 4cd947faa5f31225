"""A narrow ZegCLIP on a split of five classes, and batches for it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pading.config import check_settings, load_config
from pading.models.registry import build_model
from pading.models.zegclip.zegclip import ZegCLIP
from pading.vocabulary.splits import ClassInfo, ClassSplit
from tests.models.recordings import ROOT

UNSEEN = (1, 3)
WIDTH = 24
CONFIG = Path(ROOT) / "configs" / "shapes" / "semantic" / "ZegCLIP.yaml"
TOWER = ["embed_dim", 24, "width", 32, "layers", 3, "head_width", 16, "image_size", 32]
NARROW = {
    "MODEL.DEVICE": "cpu",
    "MODEL.CLIP.OPTIONS": [*TOWER, "patch_size", 8],
    "MODEL.ZEGCLIP.PROMPTS": 4,
    "MODEL.ZEGCLIP.PROMPT_DEPTH": 2,
    "MODEL.ZEGCLIP.DECODER_FFN_DIM": 32,
}


def narrow_split(unseen: tuple[int, ...] = UNSEEN) -> ClassSplit:
    names = ("cup", "fork", "table", "floor", "spoon")
    classes = (ClassInfo(i + 1, name, True, i in unseen) for i, name in enumerate(names))
    return ClassSplit("kitchen", tuple(classes))


@pytest.fixture
def make_zegclip(rng: torch.Generator) -> Callable[..., ZegCLIP]:
    """Give ``make({key: value, ...})``: a model with fresh weights."""
    vectors = torch.randn(5, WIDTH, generator=rng)

    def make(
        overrides: dict[str, object] | None = None, split: ClassSplit | None = None
    ) -> ZegCLIP:
        pairs = [str(part) for pair in {**NARROW, **(overrides or {})}.items() for part in pair]
        cfg = load_config(str(CONFIG), pairs)
        check_settings(cfg)
        model = build_model(cfg, split or narrow_split(), vectors)
        assert isinstance(model, ZegCLIP)
        return model

    return make
