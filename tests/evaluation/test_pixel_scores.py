"""Semantic scores: recorded values, definitions, bad input."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pading.data.masks import IGNORE_LABEL
from pading.errors import InputError
from pading.evaluation.groups import Scores
from pading.evaluation.pixel_scores import (
    archive_labels,
    folder_labels,
    panoptic_labels,
    score_semantic,
)
from pading.evaluation.semantic_evaluator import SemanticEvaluator
from pading.vocabulary.splits import ClassInfo, ClassSplit, load_split
from tests.evaluation.panoptic_set import PanopticSet


class TestGolden:
    """What was recorded for stored label maps against COCO's panoptic ground truth."""

    @pytest.fixture
    def coco(self) -> ClassSplit:
        return load_split("coco_panoptic_119_14")

    @pytest.fixture
    def sample(self, shared: Path) -> Path:
        return shared / "data" / "coco_panoptic_sample"

    def check(self, scores: Scores, shared: Path) -> None:
        expected = json.loads((shared / "golden/evaluation/semantic_expected.json").read_text())
        flat = scores.flat()
        for group in ("seen", "unseen", "harmonic"):
            assert flat[f"mIoU_{group}"] == pytest.approx(expected[f"{group}_iou"], rel=1e-6)
        for group in ("seen", "unseen"):
            wanted = expected[f"{group}_accuracy"]
            assert flat[f"accuracy_{group}"] == pytest.approx(wanted, rel=1e-6)
        assert flat["pixel_accuracy"] == pytest.approx(expected["pixel_accuracy"], rel=1e-6)
        iou = {name: v["iou"] for name, v in scores.per_class.items() if not np.isnan(v["iou"])}
        assert iou == pytest.approx(expected["iou"], rel=1e-6)

    def test_from_files(self, shared: Path, sample: Path, coco: ClassSplit) -> None:
        truth = panoptic_labels(sample / "panoptic.json", sample / "panoptic", coco)
        predicted = archive_labels(shared / "golden/evaluation/semantic_pred.npz")
        self.check(score_semantic(truth, predicted, coco), shared)

    def test_from_model_outputs(
        self, shared: Path, sample: Path, coco: ClassSplit, tmp_path: Path
    ) -> None:
        predicted = archive_labels(shared / "golden/evaluation/semantic_pred.npz")
        evaluator = SemanticEvaluator(coco, tmp_path)
        evaluator.reset()
        for annotation in json.loads((sample / "panoptic.json").read_text())["annotations"]:
            segments = [
                {**s, "category_id": coco.contiguous_id[s["category_id"]]}
                for s in annotation["segments_info"]
            ]
            labels = torch.from_numpy(predicted[str(annotation["image_id"])]).long()
            image = {
                "image_id": annotation["image_id"],
                "pan_seg_file_name": str(sample / "panoptic" / annotation["file_name"]),
                "segments_info": segments,
                "height": labels.shape[0],
                "width": labels.shape[1],
            }
            scores = torch.nn.functional.one_hot(labels, coco.num_classes).permute(2, 0, 1)
            evaluator.process([image], [{"sem_seg": scores}])
        evaluator.evaluate()
        self.check(evaluator.scores[0], shared)


@pytest.fixture
def truth(seed: int) -> dict[str, np.ndarray]:
    """Three random maps of classes 0 to 3 (class 4 has no ground truth), some pixels ignored."""
    generator = np.random.default_rng(seed)
    maps = generator.choice([0, 1, 2, 3, 255], (3, 20, 30)).astype(np.uint8)
    return {str(i): labels for i, labels in enumerate(maps)}


@pytest.fixture
def predicted(truth: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """The truth with half of the pixels drawn anew from all classes."""
    generator = np.random.default_rng(seed + 1)
    guesses = {}
    for name, labels in truth.items():
        drawn = generator.integers(0, 5, labels.shape).astype(np.uint8)
        keep = (generator.random(labels.shape) < 0.5) & (labels != 255)
        guesses[name] = np.where(keep, labels, drawn)
    return guesses


def test_definitions(
    truth: dict[str, np.ndarray], predicted: dict[str, np.ndarray], split: ClassSplit
) -> None:
    labels = np.concatenate([truth[n].ravel() for n in truth])
    guess = np.concatenate([predicted[n].ravel() for n in truth])
    labels, guess = labels[labels != 255], guess[labels != 255]
    iou, accuracy, share = [], [], []
    for index in range(4):
        both = ((labels == index) & (guess == index)).sum()
        iou.append(100 * both / ((labels == index) | (guess == index)).sum())
        accuracy.append(100 * both / (labels == index).sum())
        share.append((labels == index).mean())
    flat = score_semantic(truth, predicted, split).flat()
    assert flat["mIoU"] == pytest.approx(np.mean(iou))
    assert flat["mIoU_unseen"] == pytest.approx(iou[2])
    assert flat["accuracy_seen"] == pytest.approx(np.mean([accuracy[i] for i in (0, 1, 3)]))
    assert flat["fwIoU"] == pytest.approx(np.dot(iou, share))
    assert flat["pixel_accuracy"] == pytest.approx(100 * (labels == guess).mean())


def test_folder_and_archive_equal_arrays(
    truth: dict[str, np.ndarray],
    predicted: dict[str, np.ndarray],
    split: ClassSplit,
    tmp_path: Path,
) -> None:
    for name, labels in truth.items():
        Image.fromarray(labels).save(tmp_path / f"{name:0>12}.png")
    np.savez(tmp_path / "predicted.npz", **predicted)
    expected = score_semantic(truth, predicted, split).flat()
    from_files = score_semantic(
        folder_labels(tmp_path), archive_labels(tmp_path / "predicted.npz"), split
    )
    assert from_files.flat() == expected


def test_names_of_maps(split: ClassSplit, tmp_path: Path) -> None:
    """Zeros lead numbers alone; endings may be capitals; folders are part of a name."""
    names = ("a.png", "0a.png", "007.PNG", "x/7.png", "y/7.png")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2), 1).save(tmp_path / name, "PNG")
    assert set(folder_labels(tmp_path)) == {"a", "0a", "7", "x/7", "y/7"}
    Image.new("L", (2, 2)).save(tmp_path / "a.PNG", "PNG")
    with pytest.raises(InputError, match="image a has two label maps"):
        folder_labels(tmp_path)


def test_300_classes(tmp_path: Path) -> None:
    infos = tuple(ClassInfo(i, f"c{i}", False, i > 290) for i in range(300))
    labels = np.arange(300, dtype=np.uint16).reshape(15, 20)
    Image.fromarray(labels).save(tmp_path / "1.png")
    for predicted in (labels.astype(np.int64), labels):
        np.savez(tmp_path / "found.npz", **{"1": predicted})
        scores = score_semantic(
            folder_labels(tmp_path),
            archive_labels(tmp_path / "found.npz"),
            ClassSplit("many", infos),
        )
        assert scores.flat()["mIoU"] == 100


def test_missing_predictions_count_as_empty(
    truth: dict[str, np.ndarray], split: ClassSplit, caplog: pytest.LogCaptureFixture
) -> None:
    partial = {name: labels for name, labels in truth.items() if name != "1"}
    with caplog.at_level(logging.WARNING):
        flat = score_semantic(truth, partial, split).flat()
    assert "1 of 3 images have no prediction" in caplog.text
    labelled = sum((labels != 255).sum() for labels in truth.values())
    right = labelled - (truth["1"] != 255).sum()
    assert flat["pixel_accuracy"] == pytest.approx(100 * right / labelled)


@pytest.mark.parametrize("kind", ["unknown image", "size", "label", "negative"])
def test_bad_predictions(
    truth: dict[str, np.ndarray],
    predicted: dict[str, np.ndarray],
    split: ClassSplit,
    kind: str,
) -> None:
    if kind == "unknown image":
        predicted["77"] = predicted["2"]
    elif kind == "size":
        predicted["2"] = predicted["2"][:, 1:]
    elif kind == "label":
        predicted["2"][3, 4] = 5
    else:
        predicted["2"] = predicted["2"].astype(np.int64)
        predicted["2"][3, 4] = -1
    image = "77" if kind == "unknown image" else "2"
    with pytest.raises(InputError, match=image):
        score_semantic(truth, predicted, split)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no PNG"):
        folder_labels(tmp_path)
    with pytest.raises(InputError, match=r"none\.npz"):
        archive_labels(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(InputError, match=r"text\.npz"):
        archive_labels(tmp_path / "text.npz")
    np.save(tmp_path / "one.npy", np.zeros((2, 2)))
    with pytest.raises(InputError, match="one array"):
        archive_labels(tmp_path / "one.npy")
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="array a is broken"):
        archive_labels(tmp_path / "objects.npz")["a"]
    Image.new("L", (4, 4)).save(tmp_path / "7.png")
    Image.new("L", (4, 4)).save(tmp_path / "007.png")
    with pytest.raises(InputError, match="image 7 has two"):
        folder_labels(tmp_path)


@pytest.mark.parametrize("damage", ["no image", "cut off"])
def test_broken_label_map(split: ClassSplit, tmp_path: Path, damage: str, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, (20, 30), dtype=np.uint8)
    path = tmp_path / "7.png"
    Image.fromarray(labels).save(path)
    content = path.read_bytes()
    path.write_bytes(b"none" if damage == "no image" else content[: len(content) // 2])
    with pytest.raises(InputError, match=str(path)):
        score_semantic({"7": labels}, folder_labels(tmp_path), split)


def test_panoptic_ground_truth_as_label_maps(ground_truth: PanopticSet, split: ClassSplit) -> None:
    maps = panoptic_labels(ground_truth.json, ground_truth.folder, split)
    annotation = ground_truth.load()["annotations"][1]
    labels = maps["2"]
    assert (labels[:4, :4] == IGNORE_LABEL).all()
    for segment in annotation["segments_info"]:
        index = split.contiguous_id[segment["category_id"]]
        assert (labels == index).sum() >= segment["area"]
    assert (labels != IGNORE_LABEL).sum() == sum(s["area"] for s in annotation["segments_info"])
