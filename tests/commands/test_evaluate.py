"""tools/evaluate_predictions.py: what it writes, prints and refuses."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pading.commands.evaluate import main, parse
from pading.errors import InputError
from pading.vocabulary.splits import load_split


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the tool with the given options and returns what it wrote."""

    def run(**options: object) -> dict:
        output = tmp_path / "scores.json"
        names = {f"--{key.replace('_', '-')}": value for key, value in options.items()}
        arguments = [k if value is True else f"{k}={value}" for k, value in names.items()]
        monkeypatch.setattr(
            sys, "argv", ["evaluate_predictions.py", *arguments, f"--output={output}"]
        )
        main()
        return json.loads(output.read_text())

    return run


@pytest.fixture
def golden(shared: Path) -> Path:
    return shared / "golden" / "evaluation"


@pytest.fixture
def panoptic_truth(shared: Path) -> Path:
    return shared / "data" / "coco_panoptic_sample" / "panoptic.json"


def test_panoptic(evaluate, golden: Path, panoptic_truth: Path, capsys) -> None:
    scores = evaluate(
        task="panoptic",
        split="coco_panoptic_119_14",
        ground_truth=panoptic_truth,
        predictions=golden / "panoptic_pred.json",
    )
    expected = json.loads((golden / "panoptic_expected.json").read_text())
    for group in ("all", "things", "stuff", "seen", "unseen"):
        wanted = {key: expected[group][key] for key in ("pq", "sq", "rq")}
        assert scores[group] == pytest.approx(wanted, rel=1e-6)
    assert scores["harmonic"] == pytest.approx({"pq": expected["harmonic_pq"]}, rel=1e-6)
    assert scores["per_class"]["person"]["tp"] == 16
    assert "harmonic  33.8" in capsys.readouterr().out


def test_semantic(evaluate, golden: Path, panoptic_truth: Path) -> None:
    scores = evaluate(
        task="semantic",
        split="coco_panoptic_119_14",
        ground_truth=panoptic_truth,
        predictions=golden / "semantic_pred.npz",
    )
    expected = json.loads((golden / "semantic_expected.json").read_text())
    assert scores["unseen"]["miou"] == pytest.approx(expected["unseen_iou"], rel=1e-6)
    assert scores["harmonic"]["miou"] == pytest.approx(expected["harmonic_iou"], rel=1e-6)
    assert scores["all"]["pixel_accuracy"] == pytest.approx(expected["pixel_accuracy"], rel=1e-6)
    assert set(scores["seen"]) == {"miou", "accuracy", "fwiou", "pixel_accuracy"}
    assert scores["per_class"]["zebra"]["iou"] is None


@pytest.mark.parametrize("setting", ["gzsi", "zsi"])
@pytest.mark.parametrize("split", ["coco_instance_48_17", "coco_instance_65_15"])
def test_instance(evaluate, golden: Path, split: str, setting: str) -> None:
    name = f"{split}_{setting}"
    scores = evaluate(
        task="instance",
        split=split,
        setting=setting,
        ground_truth=golden / f"instances_val_{name}.json",
        predictions=golden / f"detections_{name}.json",
    )
    expected = json.loads((golden / f"expected_{name}.json").read_text())
    for task in ("segm", "bbox"):
        assert ("seen" in scores[task]) == (setting == "gzsi")
        for key, value in expected[task].items():
            group, _, metric = key.rpartition("_")
            assert scores[task][group or "unseen"][metric] == pytest.approx(value, rel=1e-6)


def test_a_setting_is_for_instances_alone(evaluate, tmp_path: Path) -> None:
    options = {"split": "shapes", "ground_truth": tmp_path, "predictions": tmp_path}
    with pytest.raises(InputError, match="--setting zsi"):
        evaluate(task="semantic", setting="zsi", **options)


def test_label_maps_in_folders(evaluate, tmp_path: Path, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (8, 9), dtype=np.uint8)
    for folder in ("truth", "predicted"):
        (tmp_path / folder).mkdir()
        Image.fromarray(labels).save(tmp_path / folder / "1.png")
    scores = evaluate(
        task="semantic",
        split="shapes",
        ground_truth=tmp_path / "truth",
        predictions=tmp_path / "predicted",
    )
    assert scores["all"]["miou"] == scores["all"]["pixel_accuracy"] == 100


def test_label_maps_of_class_ids(evaluate, tmp_path: Path, seed: int) -> None:
    split = load_split("shapes")
    ids = np.array([info.id for info in split.classes])
    labels = np.random.default_rng(seed).integers(0, split.num_classes, (8, 9))
    for folder, values in (("truth", labels), ("predicted", ids[labels])):
        (tmp_path / folder).mkdir()
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / folder / "1.png")
    options = {
        "task": "semantic",
        "split": "shapes",
        "ground_truth": tmp_path / "truth",
        "predictions": tmp_path / "predicted",
    }
    assert (ids != np.arange(split.num_classes)).any()
    assert evaluate(**options, class_ids=True)["all"]["pixel_accuracy"] == 100
    Image.fromarray(np.full((8, 9), 254, np.uint8)).save(tmp_path / "predicted" / "1.png")
    with pytest.raises(
        InputError, match=r"1\.png: the value 254 is no class id of the split shapes"
    ):
        evaluate(**options, class_ids=True)
    with pytest.raises(InputError, match="--class-ids is for --task semantic"):
        evaluate(**{**options, "task": "instance"}, class_ids=True)


def test_two_dashes_end_the_values_of_the_dial() -> None:
    given = ["--dial", "model.pth", "--biases", "-0.1", "0", "--", "MODEL.DEVICE", "cpu"]
    args = parse(given)
    assert args.biases == [-0.1, 0.0]
    assert args.overrides == ["MODEL.DEVICE", "cpu"]
