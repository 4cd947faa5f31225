"""Pretending: stage 2 with some seen classes as if unseen, scored on stored embeddings.

The classes that are really unseen are in no part of it: neither their names nor their masks. The
segmenter was trained on those that are pretended, so scores are higher than on unseen classes; they
are for comparing settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import hooks
from detectron2.solver import build_lr_scheduler
from torch import Tensor

from pading.engine.interruption import Interruption
from pading.engine.loop import TrainingLoop
from pading.engine.optimizers import build_optimizer
from pading.errors import InputError
from pading.evaluation.groups import harmonic_mean
from pading.inference.calibration import calibrated
from pading.inference.query_scores import class_scores
from pading.models.base import SegmentationModel
from pading.models.pading.embedding_store import EmbeddingStore
from pading.models.pading.source import training_source
from pading.models.pading.store_part import StorePart
from pading.models.registry import build_model
from pading.randomness import Stream, generator, seed_everything
from pading.vocabulary.class_vectors import load_class_vectors
from pading.vocabulary.splits import ClassSplit

LEAST_SEEN = 6
"""Of fewer seen classes none can be spared to pretend."""
LEAST_IMAGES = 20
"""On a quarter of fewer images no two settings can be told apart."""
_SCORED_SHARE = 4
_MOST_IMAGES = 4000


def why_not(split: ClassSplit, images: int) -> str | None:
    """What keeps one from pretending that seen classes are unseen; None: nothing does.

    Args:
        split: what is seen.
        images: how many there are of seen classes.
    """
    if split.num_seen < LEAST_SEEN:
        return (
            f"split {split.name}: {split.num_seen} seen classes are too few to leave some of them "
            f"out and choose by those; {LEAST_SEEN} are needed"
        )
    if images < LEAST_IMAGES:
        return (
            f"split {split.name}: {images} images of seen classes are too few to choose by; "
            f"{LEAST_IMAGES} are needed"
        )
    return None


@dataclass(frozen=True)
class Pretence:
    """Seen classes, of which some are pretended unseen.

    Args:
        split: without the classes that are really unseen.
        learned, scored: embeddings of different images.
        classifier: weight (K + 1, C) and bias (K + 1,) that stage 2 starts from.
    """

    split: ClassSplit
    learned: StorePart
    scored: StorePart
    classifier: tuple[Tensor, Tensor]

    @property
    def names(self) -> list[str]:
        """Of the classes that are pretended unseen."""
        return [self.split.names[label] for label in self.split.unseen]


def pretences(model: Any, folder: str | Path, count: int, seed: int) -> list[Pretence]:
    """Several, no class being pretended unseen in two of them.

    Args:
        model: of stage 2, with the weights that it starts from.
        folder: its finished store.
        count: how many, at most: fewer where there are not enough classes.
        seed: of the draw.

    Raises:
        InputError: too few classes are seen, or in too few images.
    """
    split: ClassSplit = model.split
    if reason := why_not(split, EmbeddingStore(folder, split).header.images):
        raise InputError(f"{reason}, so set rates and weights yourself")
    size = max(1, round(split.num_seen * split.num_unseen / split.num_classes))
    drawn = generator(seed).permutation(list(split.seen))
    groups = [drawn[i : i + size].tolist() for i in range(0, len(drawn) - size + 1, size)]
    return [_pretence(model, folder, group, seed) for group in groups[:count]]


def _pretence(model: Any, folder: str | Path, pretended: Sequence[int], seed: int) -> Pretence:
    split: ClassSplit = model.split
    places = list(split.seen)
    classes = [replace(split.classes[i], unseen=i in pretended) for i in places]
    own = ClassSplit(f"{split.name}, pretended", tuple(classes))
    store = EmbeddingStore(folder, own)
    images = torch.from_numpy(generator(seed + 1).permutation(store.header.images))[:_MOST_IMAGES]
    scored = images[: max(1, len(images) // _SCORED_SHARE)]
    items = torch.arange(store.header.items)
    learned = items[torch.isin(items % store.header.images, images[len(scored) :])]
    rows = [*places, split.num_classes]
    weight = model.classifier.weight.detach()[rows].clone()
    bias = model.classifier.bias.detach()[rows].clone()
    # As conversion leaves the rows of classes that the segmenter does not know.
    weight[list(own.unseen)] = 0
    bias[list(own.unseen)] = 0
    return Pretence(
        own, StorePart(store, learned, own.unseen), StorePart(store, scored), (weight, bias)
    )


def trained(cfg: CfgNode, pretence: Pretence, seed: int) -> SegmentationModel:
    """Stage 2 as any run trains it, on the classes of a pretence; of the segmenter it has none."""
    seed_everything(seed, Stream.STEP)
    vectors = load_class_vectors(cfg.MODEL.CLASS_VECTORS, pretence.split)
    model: Any = build_model(cfg, pretence.split, vectors)
    weight, bias = pretence.classifier
    with torch.no_grad():
        model.classifier.weight.copy_(weight)
        model.classifier.bias.copy_(bias)
    optimizer = build_optimizer(cfg, model)
    store: Any = pretence.learned
    loop = TrainingLoop(
        model,
        training_source(cfg, model, seed, store),
        optimizer,
        interruption=Interruption(),
    )
    loop.register_hooks([hooks.LRScheduler(optimizer, build_lr_scheduler(cfg, optimizer))])
    loop.train(0, cfg.SOLVER.MAX_ITER)
    return model


@torch.no_grad()
def scores_of(
    cfg: CfgNode, model: Any, pretence: Pretence, biases: Sequence[float]
) -> list[tuple[float, float, float]]:
    """How well queries are recognised, per cent, at each value of MODEL.INFERENCE.SEEN_BIAS.

    A class's figure is 2 TP / (2 TP + FP + FN) over the stored queries, as the recognition quality
    of panoptic segmentation is; a query that no class wins above OBJECT_SCORE_THRESHOLD is nothing.

    Returns:
        for each bias: means over the seen and over the pretended classes, and their harmonic mean.
    """
    part = pretence.scored
    labels = part.labels.to(model.device)
    rows = torch.arange(len(labels))
    scores = class_scores(model.classifier(part.embeddings(rows).to(model.device)))
    weight = torch.ones(len(labels), device=model.device)
    weight[labels == part.no_object] /= part.no_object_share
    found = []
    for bias in biases:
        best, given = calibrated(scores, pretence.split.seen, bias).max(-1)
        given = given.where(best > cfg.MODEL.INFERENCE.OBJECT_SCORE_THRESHOLD, part.no_object)
        f = _f_scores(given, labels, weight, pretence.split.num_classes)
        seen, unseen = (
            float(f[list(group)].nanmean())
            for group in (pretence.split.seen, pretence.split.unseen)
        )
        found.append((seen, unseen, harmonic_mean(seen, unseen)))
    return found


def _f_scores(given: Tensor, labels: Tensor, weight: Tensor, classes: int) -> Tensor:
    """(K,) per cent; NaN of a class that is not there."""
    kinds = classes + 1
    hit = torch.zeros(kinds, device=weight.device).index_add(0, labels, weight * (given == labels))
    told = torch.zeros(kinds, device=weight.device).index_add(0, given, weight)
    there = torch.zeros(kinds, device=weight.device).index_add(0, labels, weight)
    f = 200 * hit / (told + there).clamp_min(1e-9)
    return f.where(there > 0, torch.nan)[:classes]
