"""Every stage that is configured for COCO-Stuff, with CLIP's own text vectors, on photographs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from panopticapi.utils import rgb2id
from PIL import Image

from pading.config import load_config
from pading.data.masks import IGNORE_LABEL
from pading.engine.optimizers import build_optimizer
from pading.models.registry import build_model
from pading.vocabulary.class_vectors import load_class_vectors
from pading.vocabulary.splits import load_split
from tests.models.lseg.conftest import VIT
from tests.models.recordings import ROOT
from tests.narrow import NARROW_R50_OVERRIDES
from tests.runs import FROM_IMAGES


def _pairs(settings: dict[str, object]) -> list[str]:
    return [str(part) for pair in settings.items() for part in pair]


ZEGCLIP = {
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.CLIP.OPTIONS": ["width", 64, "layers", 12, "head_width", 32],
    "MODEL.CLIP.IMAGE_SIZE": 64,
    "MODEL.ZEGCLIP.PROMPTS": 5,
}
PADING = [*NARROW_R50_OVERRIDES, *map(str, FROM_IMAGES)]
# Configuration -> what makes it small.
STAGES: dict[str, list[str]] = {
    "semantic/pretrain": NARROW_R50_OVERRIDES,
    "semantic/PADing": PADING,
    "lseg/coco_stuff_156_15": _pairs({"MODEL.DEVICE": "cpu", "MODEL.LSEG.CHANNELS": 8, **VIT}),
    "zegclip/coco_stuff_156_15": _pairs(ZEGCLIP),
    "zegclip/coco_stuff_156_15_transductive": _pairs(ZEGCLIP),
    "zegclip/coco_stuff_156_15_supervised": _pairs(ZEGCLIP),
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
        classes = target[target != IGNORE_LABEL].unique()
        segments = Instances(
            target.shape, gt_classes=classes, gt_masks=target == classes[:, None, None]
        )
        image = {"image": pixels[:, down, across], "file_name": str(file)}
        batch.append({**image, "sem_seg": target, "instances": segments})
    return batch


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_two_steps(stage: str, shared: Path, seed: int) -> None:
    cfg = load_config(str(Path(ROOT) / "configs" / f"{stage}.yaml"), STAGES[stage])
    split = load_split("coco_stuff_156_15")
    file = shared / "data" / "clip_vectors" / "coco_stuff_clip_vitb16_multi.npz"
    vectors = load_class_vectors(str(file), split)
    model = build_model(cfg, split, vectors).train()
    assert model.class_vectors is None or model.class_vectors.equal(vectors)
    optimizer = build_optimizer(cfg, model)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    unseen = type(model).learns_unseen(cfg)
    batch = labelled_photographs(shared / "data" / "tiny_coco", unseen)
    if hasattr(model, "labelled_embeddings"):  # stage 2 learns from what the segmenter gives
        batch = model.labelled_embeddings(batch)
    for _ in range(2):
        optimizer.zero_grad()
        loss = sum(model(batch).values())
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
    after = dict(model.named_parameters())
    changed = [name for name, value in before.items() if not after[name].equal(value)]
    # The other systems' rates begin so small that some sums stay as they are.
    least = len(before) if stage.startswith("zegclip") else len(before) / 2
    assert len(changed) >= least
