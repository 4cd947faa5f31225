"""Two processes score what one does, in every task, to the last digit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.data import MetadataCatalog
from detectron2.structures import Instances
from pycocotools import mask as coco_mask

from pading.evaluation.average_precision import InstanceEvaluator
from pading.evaluation.evaluator import ReportingEvaluators
from pading.evaluation.panoptic_quality import PanopticEvaluator
from pading.evaluation.semantic_evaluator import SemanticEvaluator
from pading.vocabulary.splits import ClassSplit
from tests.evaluation.panoptic_set import PanopticSet, outputs_of


@pytest.fixture
def inputs(
    ground_truth: PanopticSet, dataset: str, split: ClassSplit, tmp_path: Path
) -> list[dict[str, Any]]:
    """The images, as the loader gives them; the data set gets instance annotations too."""
    truth, images, instances = ground_truth.load()["annotations"], [], []
    for annotation in truth:
        segments = [
            {**s, "category_id": split.contiguous_id[s["category_id"]]}
            for s in annotation["segments_info"]
        ]
        path = ground_truth.folder / annotation["file_name"]
        image = {"image_id": annotation["image_id"], "height": 40, "width": 40}
        images.append({**image, "pan_seg_file_name": str(path), "segments_info": segments})
    for image, output in zip(*outputs_of(ground_truth, split), strict=True):
        ids, segments = output["panoptic_seg"]
        for segment in segments:
            mask = (ids == segment["id"]).numpy().astype(np.uint8)
            code = coco_mask.encode(np.asfortranarray(mask))
            instances.append(
                {
                    "image_id": image["image_id"],
                    "category_id": split.classes[segment["category_id"]].id,
                    "bbox": coco_mask.toBbox(code).tolist(),
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": {"size": code["size"], "counts": code["counts"].decode()},
                }
            )
    content = {
        "images": [{"id": i["image_id"], "height": 40, "width": 40} for i in images],
        "categories": [{"id": info.id, "name": info.name} for info in split.classes],
        "annotations": instances,
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    MetadataCatalog.get(dataset).set(instance_json=str(path))
    return images


@pytest.fixture
def outputs(prediction: PanopticSet, split: ClassSplit, seed: int) -> list[dict[str, Any]]:
    """A stored prediction as the results of a model that gives all three."""
    generator = np.random.default_rng(seed + 2)
    _, outputs = outputs_of(prediction, split)
    for output in outputs:
        ids, segments = output["panoptic_seg"]
        masks = torch.stack([ids == s["id"] for s in segments])
        labels = torch.tensor([s["category_id"] for s in segments])
        scores = torch.from_numpy(generator.random(len(segments)))
        output["instances"] = Instances(
            (40, 40), pred_masks=masks, pred_classes=labels, scores=scores
        )
        output["sem_seg"] = torch.zeros(split.num_classes, 40, 40)
        for mask, label in zip(masks, labels, strict=True):
            output["sem_seg"][label][mask] = 1
    return outputs


def evaluate(dataset: str, split: ClassSplit, folder: Path, images: list, outputs: list) -> dict:
    tasks = (
        PanopticEvaluator(dataset, folder),
        SemanticEvaluator(split, folder),
        InstanceEvaluator(dataset, folder),
    )
    evaluators = ReportingEvaluators(tasks, dataset, split, folder)
    evaluators.reset()
    evaluators.process(images, outputs)
    return evaluators.evaluate()


def evaluate_share(
    rank: int, world: int, dataset: str, split: ClassSplit, folder: Path, pairs: tuple[list, list]
) -> None:
    torch.set_num_threads(1)  # OpenMP does not survive a fork
    rendezvous = f"file://{folder / 'rendezvous'}"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=world)
    results = evaluate(dataset, split, folder, *(part[rank::world] for part in pairs))
    assert bool(results) == (rank == 0)
    dist.destroy_process_group()


def test_two_processes_equal_one(
    dataset: str, split: ClassSplit, inputs: list, outputs: list, tmp_path: Path
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    results = evaluate(dataset, split, alone, inputs, outputs)
    assert set(results) == {"panoptic_seg", "sem_seg", "segm", "bbox"}
    assert results["segm"]["AP40"] > 0 and results["sem_seg"]["mIoU"] > 0
    together.mkdir()
    # Forked, so that the data set is registered there too; neither process computes with torch.
    arguments = (2, dataset, split, together, (inputs, outputs))
    mp.start_processes(evaluate_share, arguments, nprocs=2, start_method="fork")
    kept = [f"{task}_predictions.json" for task in ("panoptic", "semantic", "instance")]
    for name in ("results.json", *kept):
        assert (together / name).read_text() == (alone / name).read_text()
