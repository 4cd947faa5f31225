"""What the semantic evaluator keeps; its scores are tested with those of stored label maps."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pading.data.masks import IGNORE_LABEL
from pading.evaluation.pixel_scores import folder_labels, panoptic_labels, score_semantic
from pading.evaluation.semantic_evaluator import SemanticEvaluator, confidence_bins
from pading.structures import pixel_classes
from pading.vocabulary.splits import ClassSplit
from tests.evaluation.panoptic_set import PanopticSet


def test_kept_label_maps_score_the_same(
    ground_truth: PanopticSet, split: ClassSplit, tmp_path: Path, rng: torch.Generator
) -> None:
    evaluator = SemanticEvaluator(split, tmp_path / "kept")
    evaluator.reset()
    for annotation in ground_truth.load()["annotations"]:
        image = {
            "image_id": annotation["image_id"],
            "pan_seg_file_name": str(ground_truth.folder / annotation["file_name"]),
            "segments_info": [
                {**s, "category_id": split.contiguous_id[s["category_id"]]}
                for s in annotation["segments_info"]
            ],
            "height": 40,
            "width": 40,
        }
        scores = torch.rand(split.num_classes, 40, 40, generator=rng)
        evaluator.process([image], [{"sem_seg": scores}])
    evaluator.evaluate()
    truth = panoptic_labels(ground_truth.json, ground_truth.folder, split)
    again = score_semantic(truth, folder_labels(tmp_path / "kept/semantic_predictions"), split)
    assert again.flat() == evaluator.scores[0].flat()
    kept = json.loads((tmp_path / "kept/semantic_predictions.json").read_text())
    labelled = sum((labels != IGNORE_LABEL).sum() for labels in truth.values())
    pixels, _, right = np.array(kept["confidence"]).sum(1)
    assert pixels == labelled
    assert 100 * right / pixels == pytest.approx(again.flat()["pixel_accuracy"])


def test_confidence_is_the_share_of_the_best_class() -> None:
    scores = torch.tensor([[[3.0, 0.0, 1.0]], [[1.0, 2.0, -5.0]]])
    pixels, sure, right = confidence_bins(
        pixel_classes({"sem_seg": scores}), np.array([[0, 0, IGNORE_LABEL]])
    )
    assert pixels.tolist() == [0] * 7 + [1, 0, 1]
    assert sure.tolist() == [0] * 7 + [0.75, 0, 1]
    assert right.tolist() == [0] * 7 + [1, 0, 0]


def test_more_classes_than_eight_bits(tmp_path: Path) -> None:
    split = ClassSplit.from_record(
        {
            "name": "many",
            "classes": [
                {"id": n, "name": str(n), "isthing": True, "unseen": False} for n in range(300)
            ],
        },
        "",
    )
    Image.fromarray(np.full((2, 3), 290, np.uint16)).save(tmp_path / "labels.png")
    image = {"image_id": 7, "sem_seg_file_name": str(tmp_path / "labels.png")}
    evaluator = SemanticEvaluator(split, tmp_path)
    evaluator.reset()
    image |= {"height": 2, "width": 3, "label_table": np.arange(300, dtype=np.uint16).tobytes()}
    scores = torch.zeros(300, 2, 3)
    scores[290] = 1
    evaluator.process([image], [{"sem_seg": scores}])
    assert evaluator.evaluate()["sem_seg"]["mIoU"] == 100
    assert (folder_labels(tmp_path / "semantic_predictions")["7"] == 290).all()
