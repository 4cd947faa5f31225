"""Several data sets at once, each with labels of its own."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pading.config import load_config
from pading.data.batches import OWN_CLASSES
from pading.data.catalogue import configured_split, metadata_of, register_datasets
from pading.errors import InputError
from pading.files import read_json
from pading.losses.pixel_cross_entropy import label_rows
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.joint_split import joint_split, places_in
from pading.vocabulary.splits import ClassInfo, ClassSplit, load_split
from tests.models.lseg.test_lseg_runs import NARROW, STAGE
from tests.runs import train


def split_of(name: str, *classes: str, unseen: str = "") -> ClassSplit:
    infos = (ClassInfo(7 - i, c, isthing=True, unseen=c == unseen) for i, c in enumerate(classes))
    return ClassSplit(name, tuple(infos))


def test_classes_of_one_name_are_one() -> None:
    kitchen, street = split_of("kitchen", "cup", "floor"), split_of("street", "floor", "car")
    joint = joint_split([kitchen, street, kitchen])
    assert joint.name == "kitchen+street"
    assert joint.names == ("cup", "floor", "car")
    assert places_in(joint, street) == (1, 2)
    with pytest.raises(InputError, match="'cup' is seen in the split 'kitchen' and unseen in 's'"):
        joint_split([split_of("s", "cup", unseen="cup"), kitchen])


def test_the_shipped_configuration_of_four_data_sets() -> None:
    cfg = load_config("lseg/joint", [])
    register_datasets(cfg)
    splits = [load_split(metadata_of(name).spec.split) for name in cfg.DATASETS.TEST]
    joint = configured_split(cfg)
    assert set(joint.names) == {name for split in splits for name in split.names}
    assert joint.num_classes < sum(split.num_classes for split in splits), "none is shared"


@pytest.mark.parametrize("block", ["none", "bottleneck"])
def test_an_image_is_compared_with_its_own_labels_alone(
    block: str, make_lseg: Callable, make_labelled: Callable
) -> None:
    """The model's classes are cup, fork, table, floor and spoon; fork and floor are unseen."""
    model = make_lseg({"MODEL.LSEG.BLOCK": block}).eval()
    batch = make_labelled([0, 1], [0, 2], [1, 0])
    owns = ((4, 0), (2, 1, 0), (4, 0))
    for image, own in zip(batch, owns, strict=True):
        image[OWN_CLASSES] = own
    images, sizes = model.preprocess(batch)
    total, count = torch.zeros(()), 0
    for number, own in enumerate(owns):
        learned = [label for label, place in enumerate(own) if place in model.split.seen]
        text = model.text[[own[label] for label in learned]]
        scores = model.logits(images[number][None], text)
        rows = label_rows(model.targets(batch, sizes)[number][None], learned)
        total += torch.nn.functional.cross_entropy(scores, rows, ignore_index=-1, reduction="sum")
        count += int((rows >= 0).sum())
    [loss] = model.training_losses(batch).values()
    torch.testing.assert_close(loss, total / count)
    batch[1]["sem_seg"][0, 0] = 1
    with pytest.raises(InputError, match="the unseen class 'fork' in training"):
        model.training_losses(batch)


@pytest.fixture
def two_label_sets(tiny_scenes: Path, tmp_path: Path, rng: torch.Generator) -> list[object]:
    """The tiny scenes beside a data set of two other classes; the settings that train on both."""
    folders = {kind: tmp_path / kind for kind in ("images", "labels")}
    for folder in folders.values():
        folder.mkdir()
    for number in range(2):
        pixels = torch.randint(256, (48, 64, 3), generator=rng, dtype=torch.uint8).numpy()
        Image.fromarray(pixels).save(folders["images"] / f"{number}.png")
        labels = np.where(pixels[..., 0] > 127, 7, 6).astype(np.uint8)
        Image.fromarray(labels).save(folders["labels"] / f"{number}.png")
    noise = split_of("noise", "bright", "dim")
    (tmp_path / "noise.json").write_text(json.dumps(noise.record()))
    row = {"task": "semantic", "split": "noise.json", "images": "images", "labels": "labels"}
    rows = [{"name": "noise_train", **row, "seen_only": True}, {"name": "noise_val", **row}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    shapes = ClassSplit.from_json(Path("pading/vocabulary/splits/shapes.json"))
    names = (*noise.names, *shapes.names)
    vectors = torch.randn(len(names), 12, generator=rng).numpy()
    ClassVectors(names, vectors, "chance").save(tmp_path / "vectors.npz")
    settings = {
        "DATASETS.FILES": f"('{tmp_path / 'rows.json'}',)",
        "DATASETS.TRAIN": "('shapes_semantic_train','noise_train')",
        "DATASETS.TEST": "('shapes_semantic_val','noise_val')",
        "DATASETS.OWN_LABELS": True,
        "MODEL.CLASS_VECTORS": tmp_path / "vectors.npz",
        "SOLVER.MAX_ITER": 3,
        "SOLVER.WARMUP_ITERS": 1,
    }
    return [*NARROW, *(part for pair in settings.items() for part in pair)]


def test_each_data_set_is_scored_among_its_own_classes(
    two_label_sets: list[object], tmp_path: Path
) -> None:
    train(STAGE, tmp_path / "run", *two_label_sets)
    results = tmp_path / "run" / "inference"
    noise = read_json(results / "noise_val" / "results.json")
    assert noise["split"] == "noise"
    assert set(noise["per_class"]["sem_seg"]) == {"bright", "dim"}
    shapes = read_json(results / "shapes_semantic_val" / "results.json")
    assert len(shapes["per_class"]["sem_seg"]) > 2
    assert "bright" not in shapes["per_class"]["sem_seg"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("DATASETS.OWN_LABELS", False), "set DATASETS.OWN_LABELS True"),
        (("DATASETS.SPLIT", "shapes"), "gives all data sets one split"),
        (("DATASETS.TRAIN", "()"), "DATASETS.TRAIN, which is empty"),
        (("MODEL.CLASS_VECTORS", "shapes_minilm"), "no vector for 2 of .*'bright'"),
        (("MODEL.LSEG.PAIRS", True), "has no seen class 'others'"),
    ],
)
def test_what_excludes_own_labels(
    settings: tuple,
    message: str,
    two_label_sets: list[object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit):
        train(STAGE, tmp_path / "run", *two_label_sets, *settings)
    assert re.search(message, capsys.readouterr().err)


def test_a_system_of_one_list_of_classes(
    two_label_sets: list[object], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        train("pretrain", tmp_path / "run", *two_label_sets[len(NARROW) :])
    assert "Mask2Former learns one list of classes" in capsys.readouterr().err
