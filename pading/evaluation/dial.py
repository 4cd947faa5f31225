"""Seen against unseen: scores of one model at many values of MODEL.INFERENCE.SEEN_BIAS.

The images are looked at once. What the network gives is turned into results at every value, by the
same code as at one, so that each point of the curve is what an evaluation with that value gives.
Source of curve and area: Chao et al., An empirical study and analysis of generalized zero-shot
learning (ECCV 2016).
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from tqdm import tqdm

from pading.data.catalogue import metadata_of, register
from pading.data.spec import DatasetSpec
from pading.engine.trainer import Trainer
from pading.errors import InputError
from pading.evaluation.evaluators import build_evaluator
from pading.evaluation.groups import harmonic_mean
from pading.evaluation.seen_unseen_curve import Curve, Point
from pading.files import read_json, write_json
from pading.inference.calibration import with_seen_bias
from pading.models.base import SegmentationModel
from pading.randomness import generator

BIASES = (
    *(-1.0, -0.5, -0.2, -0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1, 0.15, 0.2),
    *(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0),
)
"""Values that scores between 0 and 1 are tried with; the last ones leave unseen classes alone."""
FIGURES = {"panoptic_seg": "PQ", "sem_seg": "mIoU", "segm": "AP"}
"""Task -> the figure that its curve shows."""


@torch.no_grad()
def at_each_bias(
    model: SegmentationModel, batch: list[dict], biases: Sequence[float]
) -> Iterator[list[dict]]:
    """Results of a batch at each value, of one pass of the network; the model stays as it was."""
    looked = model.look(batch)
    for bias in biases:
        yield with_seen_bias(model, bias).conclude(looked)


def dial(
    cfg: CfgNode,
    model: SegmentationModel,
    name: str,
    folder: Path,
    biases: Sequence[float] = BIASES,
) -> list[Curve]:
    """The curve of each task that the model gives.

    Args:
        cfg: of the model.
        model: is in evaluation mode.
        name: a registered data set.
        folder: gets the predictions at each value.
        biases: the values.

    Raises:
        InputError: the split has no unseen class; what the evaluators refuse.
    """
    if not model.split.unseen:
        raise InputError(f"{name}: no class is unseen, so that there is nothing to weigh")
    biases = sorted({float(bias) for bias in biases})
    evaluators = [build_evaluator(cfg, name, folder / f"bias_{bias:g}") for bias in biases]
    for evaluator in evaluators:
        evaluator.reset()
    loader = Trainer.build_test_loader(cfg, name)
    for batch in tqdm(loader, f"{name} at {len(biases)} biases", unit=" images"):
        results = at_each_bias(model, batch, biases)
        for evaluator, outputs in zip(evaluators, results, strict=True):
            evaluator.process(batch, outputs)
    points: dict[str, list[Point]] = {}
    for bias, evaluator in zip(biases, evaluators, strict=True):
        evaluator.evaluate()
        for scores in evaluator.scores:
            if scores.task in FIGURES:
                label = FIGURES[scores.task]
                seen, unseen = (scores.groups[group][label] for group in ("seen", "unseen"))
                point = Point(bias, seen, unseen, harmonic_mean(seen, unseen))
                points.setdefault(scores.task, []).append(point)
    return [Curve(task, FIGURES[task], tuple(found)) for task, found in points.items()]


@contextmanager
def halves(name: str, share: float, seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Two parts of a registered data set, which are registered inside the block.

    Args:
        name: of the data set.
        share: of the images in the first part, in (0, 1).
        seed: of the draw.
        folder: gets their lists and annotation files.

    Raises:
        InputError: a share that leaves one of them empty.
    """
    spec: DatasetSpec = metadata_of(name).spec
    ids = sorted((entry["image_id"] for entry in DatasetCatalog.get(name)), key=str)
    count = round(share * len(ids))
    if not 0 < count < len(ids):
        raise InputError(
            f"--choose-dial {share:g}: of the {len(ids)} images of {name!r} that leaves none to "
            "choose by, or none to score; give a share between"
        )
    order = generator(seed).permutation(len(ids))
    parts = {
        f"{name}_chosen_by": {ids[place] for place in order[:count]},
        f"{name}_scored": {ids[place] for place in order[count:]},
    }
    try:
        for part, wanted in parts.items():
            register(_restricted(spec, part, wanted, folder))
        first, second = parts
        yield first, second
    finally:
        for part in parts:
            if part in DatasetCatalog:
                DatasetCatalog.remove(part)
                MetadataCatalog.remove(part)


def _restricted(spec: DatasetSpec, name: str, ids: Collection[Any], folder: Path) -> DatasetSpec:
    """A data set with some of its images alone; its annotation files go to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not spec.annotations:
        path = folder / f"{name}.txt"
        path.write_text("".join(f"{image}\n" for image in sorted(ids)), encoding="utf-8")
        return replace(spec, name=name, list=str(path))
    files: dict[str, Any] = {}
    for key in ("annotations", "instances"):
        if getattr(spec, key):
            content = read_json(getattr(spec, key))
            content["images"] = [i for i in content["images"] if i["id"] in ids]
            content["annotations"] = [a for a in content["annotations"] if a["image_id"] in ids]
            files[key] = str(folder / f"{name}_{key}.json")
            write_json(files[key], content)
    return replace(spec, name=name, **files)
