"""Zero-shot instance scores: recorded values, closed forms, bad input."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances
from pycocotools import mask as coco_mask

from pading.errors import InputError
from pading.evaluation.average_precision import InstanceEvaluator, Setting, score_instances
from pading.evaluation.groups import Scores
from pading.vocabulary.splits import ClassSplit, load_split

SIZE = (40, 50)


@pytest.mark.parametrize("setting", ["gzsi", "zsi"])
@pytest.mark.parametrize("name", ["coco_instance_48_17", "coco_instance_65_15"])
def test_recorded_scores(shared: Path, name: str, setting: Setting) -> None:
    folder = shared / "golden" / "evaluation"
    expected = json.loads((folder / f"expected_{name}_{setting}.json").read_text())
    truth = folder / f"instances_val_{name}_{setting}.json"
    detections = folder / f"detections_{name}_{setting}.json"
    for scores in score_instances(truth, detections, load_split(name), setting):
        nested = scores.nested()
        assert set(nested) == (
            {"unseen"} if setting == "zsi" else {"all", "seen", "unseen", "harmonic"}
        )
        for key, value in expected[scores.task].items():
            group, _, metric = key.rpartition("_")
            assert nested[group or "unseen"][metric] == pytest.approx(value, rel=1e-6)


def code_of(mask: np.ndarray) -> dict[str, Any]:
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(code["size"]), "counts": code["counts"].decode()}


@pytest.fixture
def masks(seed: int) -> list[np.ndarray]:
    """A random rectangle for each of four images."""
    generator = np.random.default_rng(seed)
    rectangles = []
    for _ in range(4):
        mask = np.zeros(SIZE, dtype=bool)
        top, left = generator.integers(0, 15, 2)
        height, width = generator.integers(10, 20, 2)
        mask[top : top + height, left : left + width] = True
        rectangles.append(mask)
    return rectangles


@pytest.fixture
def truth(masks: list[np.ndarray], tmp_path: Path) -> Path:
    """Images 1 to 4 with one object each: cat, cat, dog, fox (unseen)."""
    annotations = [
        {
            "id": i,
            "image_id": i,
            "category_id": category,
            "segmentation": code_of(mask),
            "bbox": coco_mask.toBbox(code_of(mask)).tolist(),
            "area": int(mask.sum()),
            "iscrowd": 0,
        }
        for i, (mask, category) in enumerate(zip(masks, (3, 3, 5, 9), strict=True), start=1)
    ]
    content = {
        "images": [{"id": i, "height": SIZE[0], "width": SIZE[1]} for i in range(1, 5)],
        "categories": [{"id": i, "name": str(i)} for i in (3, 5, 9)],
        "annotations": annotations,
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def detections(truth: Path) -> list[dict[str, Any]]:
    """Every object, found exactly."""
    annotations = json.loads(truth.read_text())["annotations"]
    keys = ("image_id", "category_id", "segmentation")
    return [{**{key: a[key] for key in keys}, "score": 0.9} for a in annotations]


@pytest.fixture
def score(truth: Path, split: ClassSplit, tmp_path: Path) -> Callable[..., tuple[Scores, Scores]]:
    """Writes detections to a file and scores it."""

    def run(detections: Any, setting: Setting = "gzsi") -> tuple[Scores, Scores]:
        path = tmp_path / "detections.json"
        path.write_text(json.dumps(detections))
        return score_instances(truth, path, split, setting)

    return run


def test_exact_detections_score_100(score, detections) -> None:
    for scores in score(detections):
        assert scores.flat() == pytest.approx(dict.fromkeys(scores.flat(), 100))
        assert np.isnan(scores.per_class["sky"]["ap50"])


@pytest.mark.parametrize("ids", [(0, 1, 2, 3), (7, 7, 7, 7), ()])
def test_ids_of_the_ground_truth_do_not_matter(
    score, detections, truth: Path, ids: tuple[int, ...]
) -> None:
    content = json.loads(truth.read_text())
    for annotation in content["annotations"]:
        del annotation["id"]
    for annotation, number in zip(content["annotations"], ids, strict=False):
        annotation["id"] = number
    truth.write_text(json.dumps(content))
    for scores in score(detections):
        assert scores.flat() == pytest.approx(dict.fromkeys(scores.flat(), 100))


@pytest.mark.parametrize("key", ["area", "bbox", "iscrowd", "categories"])
def test_what_follows_from_the_rest_may_be_missing(score, detections, truth: Path, key) -> None:
    content = json.loads(truth.read_text())
    content.pop(key, None)
    for annotation in content["annotations"]:
        annotation.pop(key, None)
    truth.write_text(json.dumps(content))
    for scores in score(detections):
        assert scores.flat() == pytest.approx(dict.fromkeys(scores.flat(), 100))


def _as_runs(code: dict[str, Any]) -> dict[str, Any]:
    flat = coco_mask.decode(code).flatten(order="F")
    ends = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    return {**code, "counts": np.diff(ends).tolist()}


def test_boxes_of_the_masks_count(score, detections, truth: Path, caplog) -> None:
    content = json.loads(truth.read_text())
    for annotation in content["annotations"]:
        annotation["bbox"] = [1, 1, 4, 4]
    truth.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        for scores in score(detections):
            assert scores.flat() == pytest.approx(dict.fromkeys(scores.flat(), 100))
    assert r"annotations[0]: the bbox is not that of the mask" in caplog.text


def test_detected_boxes_of_corners_are_refused(score, detections) -> None:
    for detection in detections:
        detection["bbox"] = [10, 12, 12, 14]  # loose
    score(detections)
    mask = np.zeros(SIZE, dtype=bool)
    mask[12:24, 14:30] = True
    detections[0].update(segmentation=code_of(mask), bbox=[14, 12, 30, 24])
    with pytest.raises(InputError, match="detection 0 .*two corners"):
        score(detections)


def test_run_lengths_without_a_box(score, detections) -> None:
    for detection in detections:
        detection["segmentation"] = _as_runs(detection["segmentation"])
    for scores in score(detections):
        assert scores.flat() == pytest.approx(dict.fromkeys(scores.flat(), 100))


def test_polygons_of_two_corners_are_left_out(score, detections, truth: Path) -> None:
    content = json.loads(truth.read_text())
    first, second = content["annotations"][:2]
    x, y, width, height = first["bbox"]
    outline = [x, y, x + width, y, x + width, y + height, x, y + height]
    first["segmentation"] = [[x, y, x + 5, y + 5], outline]
    second["segmentation"] = [[x, y, x + 5, y + 5], [x, y]]
    truth.write_text(json.dumps(content))
    del detections[1]
    for scores in score(detections):
        assert scores.flat() == pytest.approx(dict.fromkeys(scores.flat(), 100))


def test_a_missed_class_scores_0(score, detections) -> None:
    segm, _ = score(detections[:3])
    assert segm.flat()["AP50_seen"] == pytest.approx(100)
    assert segm.flat()["AP50_unseen"] == 0
    assert segm.flat()["AP50_harmonic"] == 0


def test_no_detection_at_all(score, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        segm, bbox = score([])
    assert "4 of 4 images have no prediction" in caplog.text
    assert set(segm.flat().values()) == set(bbox.flat().values()) == {0}


def test_thresholds(score, detections, masks) -> None:
    """A mask of IoU 0.55 counts at 0.4 and 0.5, not at 0.6."""
    mask = masks[3].copy()
    rows = np.flatnonzero(mask.any(axis=1))
    mask[rows[0] + round(0.55 * len(rows)) :] = False
    overlap = mask.sum() / masks[3].sum()
    detections[3]["segmentation"] = code_of(mask)
    segm, _ = score(detections, "zsi")
    expected = {t: 100 * (overlap >= t / 100) for t in (40, 50, 60)}
    assert {t: segm.flat()[f"recall{t}_unseen"] for t in (40, 50, 60)} == expected
    assert segm.flat()["AP40_unseen"] == pytest.approx(100)
    assert segm.flat()["AP_unseen"] < 30


def test_plain_setting_leaves_seen_classes_out(score, detections) -> None:
    wrong = {**detections[3], "category_id": 3, "score": 1.0}
    segm, _ = score([wrong, *detections[:3]], "zsi")
    assert segm.groups == {"unseen": dict.fromkeys(segm.groups["unseen"], 0.0)}
    assert np.isnan(segm.per_class["cat"]["ap"])


def _update(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda detection: detection.update(values)


def _break_mask(detection: dict[str, Any]) -> None:
    counts = detection["segmentation"]["counts"]
    detection["segmentation"]["counts"] = counts[: len(counts) // 2]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_update(image_id=77), "image_id 77"),
        (_update(category_id=4), "category 4"),
        (_update(score="high"), "score"),
        (_update(bbox=[1, 2, 3]), "bbox"),
        (_update(segmentation=[[1, 2, 3, 4, 5, 6]]), "segmentation"),
        (lambda d: d["segmentation"].update(size=[50, 40]), r"size is \[50, 40\]"),
        (_break_mask, "broken RLE"),
    ],
)
def test_bad_detections(
    score, detections, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    spoil(detections[2])
    with pytest.raises(InputError, match=f"detections.json: detection 2 .*{message}"):
        score(detections)


def test_bad_ground_truth(score, detections, truth: Path) -> None:
    content = json.loads(truth.read_text())
    content["annotations"][1]["category_id"] = 4
    truth.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"truth.json: annotations\[1\]: category 4"):
        score(detections)
    content["images"].append(content["images"][0])
    truth.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"images\[4\]: the id 1 occurs twice"):
        score(detections)


def test_model_outputs(
    truth: Path, masks: list[np.ndarray], split: ClassSplit, tmp_path: Path
) -> None:
    name = "test_evaluation_instance"
    DatasetCatalog.register(name, list)
    MetadataCatalog.get(name).set(split=split, instance_json=str(truth))
    try:
        evaluator = InstanceEvaluator(name, tmp_path)
    finally:
        MetadataCatalog.remove(name)
        DatasetCatalog.remove(name)
    evaluator.reset()
    for image_id, (mask, label) in enumerate(zip(masks, (0, 0, 1, 1), strict=True), start=1):
        found = Instances(
            SIZE,
            pred_masks=torch.from_numpy(mask)[None],
            pred_classes=torch.tensor([label]),
            scores=torch.tensor([0.5]),
        )
        evaluator.process([{"image_id": image_id}], [{"instances": found}])
    results = evaluator.evaluate()
    assert results is not None and set(results) == {"segm", "bbox"}
    assert results["segm"]["recall50_seen"] == pytest.approx(100)
    assert results["segm"]["AP50_unseen"] == 0
    stored = json.loads((tmp_path / "instance_predictions.json").read_text())
    assert [d["category_id"] for d in stored] == [3, 3, 5, 5]
