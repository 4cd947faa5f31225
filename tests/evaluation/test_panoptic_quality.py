"""Panoptic scores: recorded values, closed forms, bad input."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pading.errors import InputError
from pading.evaluation.evaluator import ReportingEvaluators
from pading.evaluation.groups import Scores
from pading.evaluation.panoptic_quality import PanopticEvaluator, score_panoptic
from pading.vocabulary.splits import ClassSplit, load_split
from tests.evaluation.panoptic_set import PanopticSet, outputs_of, registered


def score(ground_truth: PanopticSet, prediction: PanopticSet, split: ClassSplit) -> Scores:
    return score_panoptic(
        ground_truth.json, ground_truth.folder, prediction.json, prediction.folder, split
    )


def evaluator_of(dataset: str, split: ClassSplit, folder: Path) -> ReportingEvaluators:
    evaluator = ReportingEvaluators([PanopticEvaluator(dataset, folder)], dataset, split, folder)
    evaluator.reset()
    return evaluator


class TestGolden:
    """What panopticapi scored for a recorded prediction."""

    @pytest.fixture
    def truth(self, shared: Path) -> PanopticSet:
        return PanopticSet(shared / "data" / "coco_panoptic_sample" / "panoptic")

    @pytest.fixture
    def predicted(self, shared: Path) -> PanopticSet:
        return PanopticSet(shared / "golden" / "evaluation" / "panoptic_pred")

    @pytest.fixture
    def coco(self) -> ClassSplit:
        return load_split("coco_panoptic_119_14")

    @pytest.fixture
    def check(self, shared: Path) -> Callable[[Scores], None]:
        expected = json.loads((shared / "golden/evaluation/panoptic_expected.json").read_text())

        def compare(scores: Scores) -> None:
            nested = scores.nested()
            for group in ("all", "things", "stuff", "seen", "unseen"):
                wanted = {key: expected[group][key] for key in ("pq", "sq", "rq")}
                assert nested[group] == pytest.approx(wanted, rel=1e-6)
            assert nested["harmonic"] == pytest.approx({"pq": expected["harmonic_pq"]}, rel=1e-6)
            occurring = {n: v["pq"] for n, v in scores.per_class.items() if not np.isnan(v["pq"])}
            assert occurring == pytest.approx(expected["per_class_pq"], rel=1e-6)
            assert len(scores.per_class) == 133

        return compare

    def test_from_files(self, truth, predicted, coco, check) -> None:
        check(score(truth, predicted, coco))

    def test_from_model_outputs(self, truth, predicted, coco, check, tmp_path) -> None:
        with registered(truth, coco) as dataset:
            evaluator = evaluator_of(dataset, coco, tmp_path)
            evaluator.process(*outputs_of(predicted, coco))
            results = evaluator.evaluate()
        check(evaluator.scores[0])
        check(score(truth, PanopticSet(tmp_path / "panoptic_predictions"), coco))
        content = json.loads((tmp_path / "results.json").read_text())
        assert content["metrics"] == results
        assert content["split"] == coco.name
        assert content["per_class"]["panoptic_seg"]["zebra"]["pq"] is None
        assert content["per_class"]["panoptic_seg"]["person"]["tp"] == 16


def test_the_truth_scores_100(ground_truth: PanopticSet, split: ClassSplit) -> None:
    content = ground_truth.load()
    present = {s["category_id"] for a in content["annotations"][:-1] for s in a["segments_info"]}
    scores = score(ground_truth, ground_truth, split)
    for info in split.classes:
        if info.id in present:
            assert scores.per_class[info.name]["pq"] == pytest.approx(100)
            assert scores.per_class[info.name]["fp"] == scores.per_class[info.name]["fn"] == 0
    assert scores.groups["all"]["PQ"] == pytest.approx(100)


@pytest.mark.parametrize("area", [7, 0, "660", None, 660.0])
def test_declared_areas_do_not_count(
    ground_truth: PanopticSet, split: ClassSplit, area: object
) -> None:
    expected = score(ground_truth, ground_truth, split).flat()
    content = ground_truth.load()
    for annotation in content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["area"] = area
    ground_truth.save(content)
    assert score(ground_truth, ground_truth, split).flat() == pytest.approx(expected, nan_ok=True)


def test_missing_predictions_count_as_empty(
    ground_truth: PanopticSet,
    split: ClassSplit,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    content = ground_truth.load()
    missed = [
        s["category_id"]
        for a in content["annotations"][4:]
        for s in a["segments_info"]
        if not s["iscrowd"]
    ]
    content["annotations"] = content["annotations"][:4]
    partial = PanopticSet(ground_truth.folder)
    stored = tmp_path / "partial.json"
    stored.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        scores = score_panoptic(
            ground_truth.json, ground_truth.folder, stored, partial.folder, split
        )
    assert "2 of 6 images have no prediction" in caplog.text
    for info in split.classes:
        assert scores.per_class[info.name]["fn"] == missed.count(info.id)


def _annotation(content: dict[str, Any]) -> dict[str, Any]:
    return content["annotations"][2]


def _drop_segment(content: dict[str, Any]) -> None:
    _annotation(content)["segments_info"].pop()


def _set_segment(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: _annotation(content)["segments_info"][1].update({key: value})


def _set_image_id(value: int) -> Callable[[dict[str, Any]], None]:
    return lambda content: _annotation(content).update(image_id=value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_set_image_id(77), "image_id 77 is not in"),
        (_set_image_id(1), r"annotations\[2\]: image_id 1 occurs twice"),
        (_set_segment("category_id", 4), r"annotations\[2\] \(image_id 3\).*category 4"),
        (_set_segment("id", 50), "segment with ID 2 is presented in PNG"),
        (_drop_segment, "segment with ID 4 is presented in PNG"),
        (lambda content: _annotation(content).pop("segments_info"), "segments_info"),
        (lambda content: content.pop("annotations"), "annotations"),
    ],
)
def test_bad_json(
    ground_truth: PanopticSet,
    prediction: PanopticSet,
    split: ClassSplit,
    spoil: Callable[[dict[str, Any]], Any],
    message: str,
) -> None:
    content = prediction.load()
    spoil(content)
    prediction.save(content)
    with pytest.raises(InputError, match=message) as caught:
        score(ground_truth, prediction, split)
    assert str(prediction.folder) in str(caught.value)


@pytest.mark.parametrize("kind", ["absent", "no image", "cut off", "other size", "grey"])
def test_bad_png(
    ground_truth: PanopticSet, prediction: PanopticSet, split: ClassSplit, kind: str
) -> None:
    path = prediction.folder / "4.png"
    content = path.read_bytes()
    path.unlink()
    if kind == "no image":
        path.write_text("none")
    elif kind == "cut off":
        path.write_bytes(content[: len(content) * 2 // 3])
    elif kind == "other size":
        Image.new("RGB", (40, 41)).save(path)
    elif kind == "grey":
        Image.new("L", (40, 40)).save(path)
    with pytest.raises(InputError, match=str(path)):
        score(ground_truth, prediction, split)


def test_a_crash_leaves_no_seemingly_complete_result(
    dataset: str,
    prediction: PanopticSet,
    split: ClassSplit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "out"
    evaluator = evaluator_of(dataset, split, folder)
    evaluator.process(*outputs_of(prediction, split))
    evaluator.evaluate()
    complete = {"panoptic_predictions.json", "panoptic_predictions", "results.json"}
    assert {path.name for path in folder.iterdir()} == complete

    def full_disk(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space"):
        evaluator.evaluate()
    assert {path.name for path in folder.iterdir()} == {"panoptic_predictions"}
