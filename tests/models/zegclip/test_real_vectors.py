"""ZegCLIP as configured for COCO-Stuff, with CLIP's own text vectors, on photographs: two steps."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from panopticapi.utils import rgb2id
from PIL import Image

from pading.config import load_config
from pading.data.masks import IGNORE_LABEL
from pading.engine.optimizers import build_optimizer
from pading.models.registry import build_model
from pading.vocabulary.class_vectors import load_class_vectors
from pading.vocabulary.splits import load_split
from tests.models.recordings import ROOT

SMALL = {
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.CLIP.OPTIONS": ["width", 64, "layers", 12, "head_width", 32],
    "MODEL.CLIP.IMAGE_SIZE": 64,
    "MODEL.ZEGCLIP.PROMPTS": 5,
}


def labelled_photographs(root: Path, unseen: bool, count: int = 2) -> list[dict]:
    """Photographs with the labels of those panoptic classes that COCO-Stuff has by name."""
    split = load_split("coco_stuff_156_15")
    content = json.loads((root / "annotations" / "panoptic_train2017.json").read_text())
    names = {c["id"]: c["name"] for c in content["categories"]}
    labels = {name: i for i, name in enumerate(split.names) if unseen or i in split.seen}
    batch = []
    for annotation in content["annotations"][:count]:
        file = root / "panoptic_train2017" / annotation["file_name"]
        ids = rgb2id(np.asarray(Image.open(file).convert("RGB")))
        found = np.full(ids.shape, IGNORE_LABEL)
        for segment in annotation["segments_info"]:
            label = labels.get(names[segment["category_id"]], IGNORE_LABEL)
            found[ids == segment["id"]] = label
        image = Image.open(root / "train2017" / f"{file.stem}.jpg").convert("RGB")
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        down, across = slice(0, 96), slice(0, 128)
        target = torch.from_numpy(found[down, across]).long()
        batch.append({"image": pixels[:, down, across], "sem_seg": target, "file_name": str(file)})
    return batch


@pytest.mark.parametrize("setting", ["inductive", "transductive", "supervised"])
def test_two_steps(setting: str, shared: Path, seed: int) -> None:
    suffix = "" if setting == "inductive" else f"_{setting}"
    config = Path(ROOT) / "configs" / "zegclip" / f"coco_stuff_156_15{suffix}.yaml"
    cfg = load_config(str(config), [str(part) for pair in SMALL.items() for part in pair])
    split = load_split("coco_stuff_156_15")
    file = shared / "data" / "clip_vectors" / "coco_stuff_clip_vitb16_multi.npz"
    model = build_model(cfg, split, load_class_vectors(str(file), split)).train()
    assert model.text.equal(model.class_vectors)
    optimizer = build_optimizer(cfg, model)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    batch = labelled_photographs(shared / "data" / "tiny_coco", setting != "inductive")
    for _ in range(2):
        optimizer.zero_grad()
        loss = sum(model(batch).values())
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
    after = dict(model.named_parameters())
    assert not [name for name, value in before.items() if after[name].equal(value)]
