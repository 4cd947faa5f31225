"""Zero-shot by folds: data in PASCAL-5i's layout, trained on three folds, scored on one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pading.errors import InputError
from pading.models.lseg.pairs import PAIR, asked_for, classes_shown, examples
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import load_split
from tests.runs import train

FOLD = "pascal_5i_2"
NARROW = ("MODEL.CONVNET.WIDTHS", "[6,8,8,10]", "MODEL.CONVNET.DEPTH", 1, "MODEL.LSEG.CHANNELS", 8)


@pytest.fixture
def pascal(tmp_path: Path, rng: torch.Generator) -> Path:
    """Images and masks (0 background, c + 1, 255 void) of a trained and a tested class each."""
    draw = np.random.default_rng(rng.initial_seed())
    split = load_split(FOLD)
    trained = [i for i in split.seen if i]
    rows = []
    for subset in ("train", "val"):
        for folder in ("images", "masks"):
            (tmp_path / subset / folder).mkdir(parents=True)
        for i in range(4):
            mask = np.zeros((48, 64), np.uint8)
            mask[4:20, 4:30] = trained[i]
            mask[24:40, 20:50] = split.unseen[i]
            mask[40:42] = 255
            Image.fromarray(mask).save(tmp_path / subset / "masks" / f"{i}.png")
            image = draw.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / subset / "images" / f"{i}.jpg")
        rows.append(
            {
                "name": f"mine_{subset}",
                "task": "semantic",
                "split": FOLD,
                "images": f"{subset}/images",
                "labels": f"{subset}/masks",
                "seen_only": subset == "train",
            }
        )
    (tmp_path / "data.json").write_text(json.dumps(rows))
    vectors = torch.randn(split.num_classes, 8, generator=rng).numpy()
    ClassVectors(split.names, vectors, "random").save(tmp_path / "vectors.npz")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "seen", "unseen"),
    [("pascal_5i_0", 16, 5), ("coco_20i_3", 61, 20), ("fss_1000_test", 521, 240)],
)
def test_folds_are_splits(name: str, seen: int, unseen: int) -> None:
    split = load_split(name)
    assert (split.num_seen, split.num_unseen) == (seen, unseen)
    assert split.names[0] == "others"
    assert split.classes[0].id == 0


@pytest.mark.parametrize("name", ["pascal_5i_4", "coco_20i_x", "fss_1000_train"])
def test_a_fold_that_does_not_exist(name: str) -> None:
    with pytest.raises(InputError, match="has no fold"):
        load_split(name)


def test_three_folds_are_trained_and_the_fourth_is_scored(pascal: Path, tmp_path: Path) -> None:
    settings = [*NARROW, "DATASETS.FILES", f"['{pascal / 'data.json'}']", "MODEL.LSEG.PAIRS", True]
    settings += ["MODEL.CLASS_VECTORS", pascal / "vectors.npz", "SOLVER.WARMUP_ITERS", 1]
    settings += ["DATASETS.TRAIN", "['mine_train']", "DATASETS.TEST", "['mine_val']"]
    output = tmp_path / "run"
    train("semantic/LSeg", output, *settings)
    [results] = output.glob("inference/*/results.json")
    report = json.loads(results.read_text())
    found = report["metrics"]["fold_seg"]
    assert 0 <= found["mIoU"] <= 100
    assert 0 < found["FB-IoU"] <= 100
    unseen = load_split(FOLD).unseen
    assert len(report["per_class"]["fold_seg"]) == len(unseen) == 5
    other = ["MODEL.LSEG.PAIRS", False, "MODEL.WEIGHTS", output / "model_final.pth"]
    with pytest.raises(SystemExit):
        train("semantic/LSeg", tmp_path / "other", "--eval-only", *settings, *other)


def test_examples(pascal: Path) -> None:
    from detectron2.data import DatasetCatalog

    from pading.config import load_config
    from pading.data.catalogue import register_datasets
    from tests.models.recordings import ROOT

    config = str(ROOT / "configs" / "shapes" / "semantic" / "LSeg.yaml")
    cfg = load_config(config, ["DATASETS.FILES", f"['{pascal / 'data.json'}']"])
    register_datasets(cfg)
    entries = DatasetCatalog.get("mine_train")
    split = load_split(FOLD)
    found = examples(entries, split, leave_out_unseen=False)
    assert [e[PAIR] for e in found] == [i for i in split.seen if i][:4]
    assert all(classes_shown(entry)[1] for entry in entries)
    assert examples(entries, split, leave_out_unseen=True) == []


def test_all_other_pixels_are_others() -> None:
    labels = torch.tensor([[3, 0, 255], [3, 5, 3]])
    target = asked_for([{"sem_seg": labels, PAIR: 3}], (3, 4))
    assert target.tolist() == [[[1, 0, 0, -1], [1, 0, 1, -1], [-1] * 4]]


def test_a_split_without_others(make_lseg: Callable) -> None:
    with pytest.raises(InputError, match="has no seen class 'others'"):
        make_lseg({"MODEL.LSEG.PAIRS": True})
