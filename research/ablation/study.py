"""Stage 2 over and over on one store of embeddings: rows of settings, several seeds each.

The segmenter is frozen, so its embeddings of the training set (a store) and what it makes of the
validation set are computed once for each stage-1 checkpoint; a run then is the training of
generator and classifier, by the code that trains any stage 2, and a scoring of the classifier.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetFromList
from detectron2.engine import hooks
from detectron2.solver import build_lr_scheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from pading.bench.control_vectors import control_vectors
from pading.checkpoint.checkpointer import Checkpointer
from pading.data.batches import SeededSamples
from pading.data.mappers import SegmentationMapper
from pading.engine.building import configured_model
from pading.engine.interruption import Interruption
from pading.engine.loop import TrainingLoop
from pading.engine.optimizers import build_optimizer
from pading.errors import InputError
from pading.models.pading.source import open_store, training_source
from pading.models.pading.stage_two import PADing
from pading.models.pading.steps import ClassifierStep, StageTwoBatch
from pading.models.pading.store_part import StorePart
from pading.randomness import Stream, generator, seed_everything
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import ClassSplit
from research.ablation.replay import SegmentedImages
from research.ablation.transductive import WithFound, found_unseen

UNSEEN_SCENES = "unseen_scenes"
"""What the bound on real unseen embeddings learns from; without its labels, transductive rows."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: what it is, for people.
        overrides: configuration keys and values.
        vectors: "text" (MODEL.CLASS_VECTORS), "attributes" (which words occur in the name),
            "random" or "shuffled" (those of text, given to the wrong classes).
        learns: "synthetic" (PADing), "real" (the classifier sees real unseen embeddings in place
            of synthetic ones), "unlabelled" (a second model learns from what a first finds in
            images without labels), "nothing" (the converted head as it is), or "segmenter" (a
            stage 1 of its own, which is shown all classes).
        seen_classes: of how many seen classes stage 2 learns, drawn by the seed; 0: of all.
        last: whether it takes so long that all other rows come before it.
    """

    name: str
    overrides: dict[str, Any] = field(default_factory=dict)
    vectors: str = "text"
    learns: str = "synthetic"
    seen_classes: int = 0
    last: bool = False

    def configured(self, cfg: CfgNode) -> CfgNode:
        """A copy of a configuration with this row's settings."""
        cfg = cfg.clone()
        cfg.defrost()
        for key, value in self.overrides.items():
            cfg.merge_from_list([key, value])
        return cfg


_ZSL, _GEN = "MODEL.ZERO_SHOT.", "MODEL.GENERATOR."
_NO_STRUCTURE = {_ZSL + "STRUCTURE_WEIGHT": 0.0}
_GUIDANCE, _SHARE = _ZSL + "GENERATOR_CLASS_WEIGHT", _ZSL + "MOMENT_CLASS_SHARE"
_PRIMITIVES = {_GEN + "NAME": "primitives"}
_RIDGE = {_GEN + "NAME": "ridge"}
GENERATORS: dict[str, dict[str, Any]] = {
    "ridge": _RIDGE,
    "plain": {_GEN + "NAME": "mlp"},
    "primitives": _PRIMITIVES,
}
"""What a row sets for each generator."""
# As the paper.yaml beside the configuration, but for its rate and for what is disentangled.
_PUBLISHED = {
    **_PRIMITIVES,
    _GUIDANCE: 0.001,
    _ZSL + "CLASS_BALANCED": False,
    _ZSL + "UNSEEN_WEIGHT": 5.0,
    _ZSL + "NUM_PER_UNSEEN_CLASS": 1,
}
_FROM_IMAGES = {_ZSL + "SOURCE": "images", _ZSL + "CLASS_BALANCED": False}

ROWS: tuple[Row, ...] = (
    Row("no stage 2", learns="nothing"),
    Row("plain generator"),
    Row("dial at 0.5", {"MODEL.INFERENCE.SEEN_BIAS": 0.5}),
    Row("moments half by class", {_SHARE: 0.5}),
    Row("moments by class alone", {_SHARE: 1.0}),
    Row("without disentanglement and alignment", _NO_STRUCTURE),
    Row("primitives", {**_PRIMITIVES, **_NO_STRUCTURE}),
    Row("primitives + disentanglement", {**_PRIMITIVES, _ZSL + "ALIGNMENT_WEIGHT": 0.0}),
    Row("primitives + both (synthetic only, published code)", _PRIMITIVES),
    Row(
        "primitives + both on real and synthetic (paper)",
        {**_PRIMITIVES, _ZSL + "STRUCTURE_SOURCE": "both"},
    ),
    Row("primitives + both, rate 0.0005", {**_PRIMITIVES, "SOLVER.GENERATOR_LR": 0.0005}),
    *(Row(f"{n} primitives", {**_PRIMITIVES, _GEN + "NUM_PRIMITIVES": n}) for n in (10, 400)),
    Row("ridge regression (default)", _RIDGE),
    *(Row(f"ridge: penalty {p}", {**_RIDGE, _GEN + "RIDGE": p}) for p in (0.01, 1.0)),
    *(
        Row(f"ridge: its own error times {e}", {**_RIDGE, _GEN + "RIDGE_ERROR": e})
        for e in (0.0, 1.0)
    ),
    Row("ridge: means alone", {**_RIDGE, _GEN + "NOISE": False}),
    Row("ridge: transductive", _RIDGE, learns="unlabelled"),
    Row("ridge: random vectors", _RIDGE, vectors="random"),
    Row("ridge: shuffled vectors", _RIDGE, vectors="shuffled"),
    Row("generator noise off", {_GEN + "NOISE": False}),
    *(
        Row(f"classifier guides with weight {w}{' (published)' * (w == 0.001)}", {_GUIDANCE: w})
        for w in (0.001, 0.1)
    ),
    Row("unseen classes weigh 1", {_ZSL + "UNSEEN_WEIGHT": 1.0}),
    Row("unseen classes weigh 8", {_ZSL + "UNSEEN_WEIGHT": 8.0}),
    Row("whole images drawn (published)", {_ZSL + "CLASS_BALANCED": False}),
    Row("all weights and draws as published", _PUBLISHED),
    Row("1 synthetic embedding per unseen class (published)", {_ZSL + "NUM_PER_UNSEEN_CLASS": 1}),
    Row("attribute vectors", vectors="attributes"),
    Row("control: random vectors", vectors="random"),
    Row("control: shuffled vectors", vectors="shuffled"),
    Row("bound: classifier on real unseen embeddings", learns="real"),
    Row("bound: segmenter trained with the unseen masks", learns="segmenter", last=True),
    Row("from images (published way)", _FROM_IMAGES, last=True),
)


class Laboratory:
    """One stage-1 checkpoint with all that its runs share."""

    def __init__(self, cfg: CfgNode, weights: str, folder: Path) -> None:
        """
        Args:
            cfg: of stage 2; every result that MODEL.INFERENCE switches on is scored.
            weights: a converted checkpoint.
            folder: where scratch files go.
        """
        self.cfg, self.weights, self.folder = cfg, weights, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.base = self.load(cfg)
        self.store = open_store(cfg, self.base)
        self.validation = SegmentedImages(cfg, self.base, cfg.DATASETS.TEST[0])
        self._real: dict[int, Tensor] | None = None
        self._unlabelled: Tensor | None = None

    def load(self, cfg: CfgNode) -> PADing:
        """A model with the checkpoint's weights."""
        model = configured_model(cfg)
        Checkpointer(model).load(self.weights)
        return model

    def run(self, row: Row, seed: int) -> dict[str, float]:
        """Train and score one row with one seed; figures as :class:`SegmentedImages` names them."""
        cfg = row.configured(self.cfg)
        if row.vectors != "text":
            made = other_vectors(row.vectors, cfg.MODEL.CLASS_VECTORS, self.base.split, seed)
            cfg.MODEL.CLASS_VECTORS = str(self.folder / f"{row.vectors}.npz")
            made.save(cfg.MODEL.CLASS_VECTORS)
        start = time.perf_counter()
        model = self.trained(cfg, row, seed)
        trained = time.perf_counter()
        figures = self.validation.score(cfg, model, self.folder / "inference")
        figures["seconds/training"] = trained - start
        figures["seconds/scoring"] = time.perf_counter() - trained
        return figures

    def trained(self, cfg: CfgNode, row: Row, seed: int) -> PADing:
        """A model after the stage 2 of a row."""
        if row.learns == "unlabelled":
            first = self.trained(cfg, replace(row, learns="synthetic"), seed)
            found = found_unseen(first, self.unlabelled())
        seed_everything(seed, Stream.STEP)
        model = self.load(cfg)
        if row.learns == "nothing":
            return model
        learner: nn.Module = model
        if row.learns == "real":
            learner = RealUnseen(model, self.real_unseen())
        elif row.learns == "unlabelled":
            learner = WithFound(model, found)
        self.train(cfg, learner, model, seed, self.store_of(row.seen_classes, seed))
        return model

    def store_of(self, seen_classes: int, seed: int) -> Any:
        """The store, or what of it is of some seen classes that the seed draws (0: all)."""
        if not seen_classes:
            return self.store
        drawn = generator(seed).permutation(list(self.base.split.seen))
        items = torch.arange(self.store.header.items)
        return StorePart(self.store, items, drawn[seen_classes:].tolist())

    def train(self, cfg: CfgNode, learner: nn.Module, model: PADing, seed: int, store: Any) -> None:
        """Stage 2 as any run trains it, without files."""
        optimizer = build_optimizer(cfg, model)
        batches = training_source(cfg, model, seed, store)
        loop = TrainingLoop(learner, batches, optimizer, interruption=Interruption())
        loop.register_hooks([hooks.LRScheduler(optimizer, build_lr_scheduler(cfg, optimizer))])
        loop.train(0, cfg.SOLVER.MAX_ITER)

    @torch.no_grad()
    def real_unseen(self) -> dict[int, Tensor]:
        """Embeddings of the unseen classes in the data set UNSEEN_SCENES: (n, C) by class."""
        if self._real is None:
            entries = DatasetCatalog.get(UNSEEN_SCENES)
            self._real = unseen_embeddings(self.cfg, self.base, entries)
        return self._real

    def unlabelled(self) -> Tensor:
        """Embeddings (N, C) of all queries in the images of UNSEEN_SCENES that training leaves."""
        if self._unlabelled is None:
            known = {e["file_name"] for n in self.cfg.DATASETS.TRAIN for e in DatasetCatalog.get(n)}
            segmented = SegmentedImages(self.cfg, self.base, UNSEEN_SCENES).images
            left = [kept for (image,), _, kept in segmented if image["file_name"] not in known]
            if not left:
                raise InputError("transductive stage 2 wants images that training leaves: none is")
            self._unlabelled = torch.cat([kept.embeddings.flatten(0, 1) for kept in left])
        return self._unlabelled


def unseen_embeddings(
    cfg: CfgNode, model: PADing, entries: list[dict[str, Any]]
) -> dict[int, Tensor]:
    """Embeddings of queries that match segments of unseen classes, by class: (n, C)."""
    loader = DataLoader(
        SeededSamples(DatasetFromList(entries, copy=False), SegmentationMapper(cfg, True), 0),
        batch_sampler=[[(n,)] for n in range(len(entries))],
        collate_fn=list,
    )
    allowed = model.trainable.clone()
    model.trainable[:] = True  # the bound is allowed to look
    found: list[tuple[Tensor, Tensor]] = []
    try:
        for number, batch in enumerate(tqdm(loader, "real unseen embeddings", leave=False)):
            seed_everything(0, Stream.EMBEDDINGS, number)
            found.append(model.labelled_embeddings(batch))
    finally:
        model.trainable.copy_(allowed)
    embeddings, labels = (torch.cat(x) for x in zip(*found, strict=True))
    return {k: embeddings[labels == k] for k in model.split.unseen}


class RealUnseen(nn.Module):
    """The classifier's step with real unseen embeddings where synthetic ones would be."""

    def __init__(self, model: PADing, real: dict[int, Tensor]) -> None:
        """
        Args:
            model: whose classifier learns.
            real: embeddings (n, C) by unseen class; a class without any is never drawn.
        """
        super().__init__()
        self.model, self.real = model, {k: found for k, found in real.items() if len(found)}

    def forward(self, batch: StageTwoBatch) -> dict[str, Tensor]:
        model = self.model
        there = torch.tensor(list(self.real), device=model.device)
        drawn = there[torch.randperm(len(there))[: model.num_unseen_classes]]
        drawn = drawn.repeat(model.num_per_unseen_class)
        real = [self.real[k][torch.randint(len(self.real[k]), ())] for k in drawn.tolist()]
        embeddings = torch.cat((batch.embeddings, torch.stack(real)))
        step = ClassifierStep(
            logits=model.classifier(embeddings),
            labels=torch.cat((batch.labels, drawn)),
            unseen=model.unseen,
            no_object_share=batch.no_object_share,
        )
        criterion: Any = model.zero_shot_criterion
        return {"loss_classifier": criterion.classifier_loss(step)}


def other_vectors(kind: str, text: str, split: ClassSplit, seed: int) -> ClassVectors:
    """Class vectors in place of those of text; see :class:`Row`."""
    if kind == "attributes":
        words = sorted({word for name in split.names for word in name.split()})
        rows = [[float(word in name.split()) for word in words] for name in split.names]
        return ClassVectors(split.names, torch.tensor(rows).numpy(), "words of the name")
    return control_vectors(kind, text, split, seed)


def chosen_rows(wanted: Iterable[str], rows: Iterable[Row] = ROWS) -> list[Row]:
    """The rows whose names contain one of the wanted texts; all where none is wanted."""
    wanted = list(wanted)
    return [row for row in rows if not wanted or any(text in row.name for text in wanted)]
