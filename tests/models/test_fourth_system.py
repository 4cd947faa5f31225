"""The contract holds for a system that nothing outside its own file knows."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import pading
from pading.commands import train as train_command
from pading.files import read_json
from pading.vocabulary.class_vectors import ClassVectors
from tests.models import fourth_system
from tests.runs import ROOT, Killed, assert_same_weights, run

TINY = {
    "MODEL.META_ARCHITECTURE": "FourthSystem",
    "MODEL.CLASS_VECTORS": "shapes_minilm",
    "MODEL.DEVICE": "cpu",
    "MODEL.BACKBONE.NAME": "build_timm_backbone",
    "MODEL.TIMM.NAME": "resnet10t",
    "MODEL.INFERENCE.FLIP": True,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 6,
    "SOLVER.CHECKPOINT_PERIOD": 2,
}
CONFIG = ROOT / "configs" / "shapes" / "semantic" / "pretrain.yaml"


@pytest.fixture
def trained(tiny_scenes: Path, tmp_path: Path) -> Path:
    train(tmp_path / "whole")
    return tmp_path / "whole"


def train(output: Path, *more: object) -> None:
    options = [m for m in more if str(m).startswith("--")]
    pairs = [m for m in more if not str(m).startswith("--")]
    settings = [part for pair in TINY.items() for part in pair]
    run(
        train_command.main,
        "--config-file",
        CONFIG,
        *options,
        "OUTPUT_DIR",
        output,
        *settings,
        *pairs,
    )


def test_it_is_small() -> None:
    assert len(Path(fourth_system.__file__).read_text().splitlines()) < 100


def test_it_trains_and_is_scored(trained: Path) -> None:
    [results] = (trained / "inference").glob("*/results.json")
    figures = read_json(results)["metrics"]["sem_seg"]
    assert {"mIoU", "mIoU_seen", "mIoU_unseen", "mIoU_harmonic"} <= figures.keys()
    losses = [json.loads(line) for line in (trained / "metrics.json").read_text().splitlines()]
    assert all(np.isfinite(line["total_loss"]) for line in losses if "total_loss" in line)


def test_it_resumes_bit_for_bit(
    trained: Path, tmp_path: Path, kill_at: Callable[[int], None]
) -> None:
    kill_at(3)
    with pytest.raises(Killed):
        train(tmp_path / "cut")
    train(tmp_path / "cut", "--resume")
    assert_same_weights(trained / "model_final.pth", tmp_path / "cut" / "model_final.pth")


def test_it_loads_predicts_and_takes_a_class_by_name(
    trained: Path, tmp_path: Path, rng: torch.Generator
) -> None:
    model = pading.load(trained / "model_final.pth", overrides=["MODEL.DEVICE", "cpu"])
    photo = torch.randint(256, (48, 80, 3), generator=rng, dtype=torch.uint8).numpy()
    result = model.predict(photo)
    num_classes = len(result.classes)
    assert result.semantic.shape == (48, 80)
    assert result.scores.semantic.shape == (num_classes, 48, 80)
    assert result.panoptic is result.instance is None
    result.save(tmp_path / "out")
    assert (tmp_path / "out" / "semantic" / "image.png").is_file()
    assert result.show().size[0] >= 80

    vectors = torch.randn(1, model.model.class_vectors.shape[1], generator=rng).numpy()
    bigger = model.add_classes(ClassVectors(("hedgehog",), vectors.astype(np.float32), "a test"))
    again = bigger.predict(photo)
    assert [info.name for info in again.classes][-1] == "hedgehog"
    assert len(result.classes) == num_classes, "the first model stays as it is"
    bigger.save(str(tmp_path / "bigger.pth"))
    loaded = pading.load(tmp_path / "bigger.pth", overrides=["MODEL.DEVICE", "cpu"])
    np.testing.assert_array_equal(loaded.predict(photo).semantic, again.semantic)


ROOMS = sorted((ROOT / "pading").rglob("*.py"))
# The catalogue of systems and the package's public names; configurations have the systems' names.
_CATALOGUE = ("pading/models/registry.py", "pading/__init__.py")
_SYSTEM = re.compile(r"\b(?<!/)(PADing|ZegCLIP|LSeg)\b(?!\.yaml)")


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_names_a_system(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    if place in _CATALOGUE:
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    own = place.split("/")[2] if place.startswith("pading/models/") else ""
    named = [line for line in lines if {n.lower() for n in _SYSTEM.findall(line)} - {own}]
    assert named == []
    compared = [line for line in lines if re.search(r"META_ARCHITECTURE\s*(==|!=|in\b)", line)]
    assert compared == []
