"""A narrow model of each stage, on a split of five classes, and a batch for it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch import nn

from pading.config import load_config
from pading.data.catalogue import register
from pading.data.spec import DatasetSpec
from pading.vocabulary.class_vectors import ClassVectors
from tests.models.recordings import ROOT
from tests.narrow import NARROW

# Classes 1 and 3 are unseen, 2 and 3 stuff.
UNSEEN = (1, 3)
NAMES = ("cup", "fork", "table", "floor", "spoon")
_NARROW = {
    **NARROW,
    "MODEL.INFERENCE.SEMANTIC_ON": True,
    "MODEL.INFERENCE.INSTANCE_ON": True,
    "DATASETS.TRAIN": "('kitchen',)",
    "DATASETS.TEST": "('kitchen',)",
}


@pytest.fixture
def make_model(tmp_path: Path, rng: torch.Generator) -> Callable[..., nn.Module]:
    """Give ``make(stage, key=value, ...)``: a model with fresh weights."""
    classes = [
        {"id": i + 1, "name": name, "isthing": i not in (2, 3), "unseen": i in UNSEEN}
        for i, name in enumerate(NAMES)
    ]
    split = tmp_path / "kitchen.json"
    split.write_text(json.dumps({"name": "kitchen", "classes": classes}))
    vectors = torch.randn(len(NAMES), 12, generator=rng).numpy().astype(np.float32)
    ClassVectors(NAMES, vectors, "a test").save(tmp_path / "vectors.npz")
    folder = str(tmp_path)
    register(DatasetSpec("kitchen", "panoptic", str(split), folder, "none.json", folder))

    def make(stage: str, overrides: dict[str, object] | None = None) -> nn.Module:
        settings = {**_NARROW, "MODEL.CLASS_VECTORS": folder + "/vectors.npz", **(overrides or {})}
        pairs = [str(part) for pair in settings.items() for part in pair]
        return build_model(load_config(str(ROOT / "configs" / "shapes" / f"{stage}.yaml"), pairs))

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
