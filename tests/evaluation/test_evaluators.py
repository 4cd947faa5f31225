"""The evaluators that a configuration asks for, through Detectron2's own loop."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.evaluation import inference_on_dataset
from torch import nn

from pading.config import add_pading_config
from pading.errors import InputError
from pading.evaluation.evaluators import build_evaluator
from pading.vocabulary.splits import ClassSplit


@pytest.fixture
def cfg(tmp_path: Path) -> CfgNode:
    cfg = get_cfg()
    add_pading_config(cfg)
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    return cfg


class Everything(nn.Module):
    """Says of every pixel that it is of one class, in every form that a model may."""

    def __init__(self, label: int, num_classes: int) -> None:
        super().__init__()
        self.label, self.num_classes = label, num_classes

    def forward(self, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
        segment = {"id": 1, "category_id": self.label, "isthing": True}
        ids = torch.ones((40, 40), dtype=torch.int32)
        scores = torch.zeros((self.num_classes, 40, 40))
        scores[self.label] = 1
        return [{"panoptic_seg": (ids, [segment]), "sem_seg": scores} for _ in images]


def test_panoptic_and_semantic_in_one_run(
    cfg: CfgNode,
    dataset: str,
    ground_truth,
    split: ClassSplit,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cfg.MODEL.INFERENCE.SEMANTIC_ON = True
    images = [
        {
            "image_id": a["image_id"],
            "height": 40,
            "width": 40,
            "pan_seg_file_name": str(ground_truth.folder / a["file_name"]),
            "segments_info": [
                {**s, "category_id": split.contiguous_id[s["category_id"]]}
                for s in a["segments_info"]
            ],
        }
        for a in ground_truth.load()["annotations"]
    ]
    loader = [[image] for image in images]
    with caplog.at_level(logging.INFO):
        results = inference_on_dataset(
            Everything(2, split.num_classes), loader, build_evaluator(cfg, dataset)
        )
    assert set(results) == {"panoptic_seg", "sem_seg"}
    segments = [s for image in images for s in image["segments_info"]]
    found = sum(s["area"] for s in segments if s["category_id"] == 2)
    labelled = sum(s["area"] for s in segments)
    assert results["sem_seg"]["pixel_accuracy"] == pytest.approx(100 * found / labelled)
    assert results["panoptic_seg"]["PQ_seen"] == 0
    content = json.loads(
        (Path(cfg.OUTPUT_DIR) / "inference" / dataset / "results.json").read_text()
    )
    assert set(content) == {"dataset", "split", "metrics", "per_class"}
    assert set(content["per_class"]["sem_seg"]) == set(split.names)
    assert "harmonic" in caplog.text


def test_instance_scores_need_instance_annotations(cfg: CfgNode, dataset: str) -> None:
    cfg.MODEL.INFERENCE.INSTANCE_ON = True
    with pytest.raises(InputError, match="INSTANCE_ON"):
        build_evaluator(cfg, dataset)


def test_unknown_data_set(cfg: CfgNode) -> None:
    with pytest.raises(InputError, match="no data set 'nowhere'"):
        build_evaluator(cfg, "nowhere")
