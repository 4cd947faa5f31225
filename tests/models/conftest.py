"""A narrow model of each stage, on a split of five classes, and a batch for it."""

from collections.abc import Callable

import pytest
import torch
from detectron2.structures import Instances
from torch import nn

from pading.config import check_settings, load_config
from pading.data.masks import IGNORE_LABEL
from pading.models.registry import build_model
from pading.vocabulary.splits import ClassInfo, ClassSplit
from tests.models.recordings import ROOT
from tests.narrow import NARROW

# Classes 1 and 3 are unseen, 2 and 3 stuff.
UNSEEN = (1, 3)
NAMES = ("cup", "fork", "table", "floor", "spoon")
_NARROW = {
    **NARROW,
    "MODEL.INFERENCE.SEMANTIC_ON": True,
    "MODEL.INFERENCE.INSTANCE_ON": True,
}


@pytest.fixture
def make_model(rng: torch.Generator) -> Callable[..., nn.Module]:
    """Give ``make(stage, key=value, ...)``: a model with fresh weights."""
    classes = tuple(
        ClassInfo(i + 1, name, i not in (2, 3), i in UNSEEN) for i, name in enumerate(NAMES)
    )
    split = ClassSplit("kitchen", classes)
    vectors = torch.randn(len(NAMES), 12, generator=rng)

    def make(stage: str, overrides: dict[str, object] | None = None) -> nn.Module:
        pairs = [str(part) for pair in {**_NARROW, **(overrides or {})}.items() for part in pair]
        cfg = load_config(str(ROOT / "configs" / "shapes" / f"{stage}.yaml"), pairs)
        check_settings(cfg)
        return build_model(cfg, split, vectors)

    return make


@pytest.fixture
def make_batch(rng: torch.Generator) -> Callable[..., list[dict]]:
    """Give ``make(labels of an image, ...)``: images of different sizes, a segment per label."""

    def make(*labels: list[int]) -> list[dict]:
        batch = []
        for number, classes in enumerate(labels):
            height, width = 64, 40 + 16 * number
            instances = Instances((height, width))
            instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
            instances.gt_masks = torch.rand(len(classes), height, width, generator=rng) < 0.5
            image = torch.randint(256, (3, height, width), generator=rng, dtype=torch.uint8)
            batch.append({"image": image, "instances": instances, "file_name": f"{number}.png"})
        return batch

    return make


@pytest.fixture
def make_labelled(rng: torch.Generator) -> Callable[..., list[dict]]:
    """Give ``make(labels of an image, ...)``: images of different sizes, partly unlabelled."""

    def make(*labels: list[int]) -> list[dict]:
        batch = []
        for number, known in enumerate(labels):
            height, width = 64, 44 + 16 * number
            image = torch.randint(256, (3, height, width), generator=rng, dtype=torch.uint8)
            drawn = torch.randint(len(known) + 1, (height, width), generator=rng)
            rows = torch.tensor([*known, IGNORE_LABEL])
            batch.append({"image": image, "sem_seg": rows[drawn], "file_name": f"{number}.png"})
        return batch

    return make
