"""Adding, removing and renaming classes of a trained stage-2 checkpoint, without any image.

A checkpoint carries what that takes: the generator, the class vectors, the split, and a small
memory of real embeddings of every seen class and of no-object. A class is added as unseen: its
vector goes through the generator, and its row of the classifier is learned on the synthetic
embeddings, against the memory and those of the other unseen classes. The rows of the other classes
stay as they are, so that they change only where the new class wins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import yaml
from detectron2.config import CfgNode, get_cfg
from torch import Tensor, nn
from torch.nn import functional as F

from pading.checkpoint.weights import read_weights
from pading.config import add_pading_config
from pading.errors import InputError
from pading.models.pading.embeddings import asks_for_store
from pading.models.pading.generator import build_generator
from pading.models.pading.memory import held_embeddings
from pading.randomness import Stream, seed_everything
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import ClassInfo, ClassSplit

# Cosine similarity from which two names are hard to tell apart, or two vectors are the same.
SIMILAR, SAME = 0.85, 0.99
# Tensors with a row per class, no-object last; class_vectors has none for no-object.
_BY_CLASS = (
    "sem_seg_head.predictor.class_embed.weight",
    "sem_seg_head.predictor.class_embed.bias",
    "classifier.weight",
    "classifier.bias",
    "memory.embeddings",
    "memory.counts",
)
# Retraining: steps of Adam, its rate, and synthetic embeddings of each unseen class in a step.
_STEPS, _RATE, _SYNTHETIC = 400, 0.02, 8
# Weight of a new class beside that of any other: with 1, two new classes took 0.4 to 1.8 PQ from
# the seen ones on Shapes, with this at most 0.8 (docs/ablation.md).
_NEW_WEIGHT = 0.7


@dataclass(frozen=True, eq=False)
class TrainedClasses:
    """A stage-2 checkpoint, as far as its classes are concerned.

    Args:
        path: where it is from, for messages.
        model: the state dict.
        split: its classes.
        config: its configuration, as YAML.
    """

    path: str
    model: dict[str, Tensor]
    split: ClassSplit
    config: str

    @property
    def vectors(self) -> Tensor:
        """(K, d)."""
        return self.model["class_vectors"]

    def content(self) -> dict[str, Any]:
        """What the checkpoint file holds."""
        return {"model": self.model, "split": self.split.record(), "config": self.config}

    def class_vectors(self) -> ClassVectors:
        """The vectors under the names of the split, for MODEL.CLASS_VECTORS."""
        source = f"checkpoint {self.path}"
        return ClassVectors(self.split.names, self.vectors.float().numpy(), source)


def read_trained(path: str) -> TrainedClasses:
    """Read a checkpoint that stage 2 wrote.

    Raises:
        InputError: what :func:`read_weights` refuses; a checkpoint without a generator, or of a
            version that carried no split, configuration or memory.
    """
    content = read_weights(path)
    model = content["model"]
    if not any(name.startswith("generator.") for name in model):
        raise InputError(
            f"{path}: it has no generator, so no class can be added by its name; "
            "give a checkpoint that stage 2 (PADing) wrote"
        )
    for key in ("split", "config"):
        if key not in content:
            raise InputError(
                f"{path}: it carries no {key}: an older checkpoint, or one that was converted; "
                "run stage 2 again, or a single step of it from these weights"
            )
    if "memory.counts" not in model or not model["memory.counts"][:-1].any():  # no-object is last
        raise InputError(
            f"{path}: its memory of real embeddings is empty; train stage 2 from it for some steps"
        )
    split = ClassSplit.from_record(content["split"], path)
    missing = [name for name in ("class_vectors", *_BY_CLASS) if name not in model]
    if missing:
        raise InputError(f"{path}: {missing[0]} is missing; give a whole checkpoint of stage 2")
    return TrainedClasses(path, model, split, content["config"])


def add_classes(
    trained: TrainedClasses,
    vectors: ClassVectors,
    stuff: Sequence[str] = (),
    ids: Sequence[int] = (),
    seed: int = 0,
) -> TrainedClasses:
    """Append unseen classes to a checkpoint and learn their rows of the classifier.

    Args:
        trained: the checkpoint; it is not changed.
        vectors: of the new classes, by name, from the encoder that made the model's.
        stuff: those that are stuff; the others are things.
        ids: category ids of the new classes; by default those after the largest there is.
        seed: of dropout and noise of the synthetic embeddings.

    Raises:
        InputError: an empty name or one that is there already, vectors of another width, too few
            ids, or what :class:`ClassSplit` refuses.
    """
    split = trained.split
    for name in vectors.names:
        if not name.strip():
            raise InputError("a class's name is empty; give the name that the text encoder reads")
        if name in split.names:
            raise InputError(f"{trained.path}: the class {name!r} is there already")
    unknown = [name for name in stuff if name not in vectors.names]
    if unknown:
        raise InputError(f"stuff {unknown[0]!r} is none of the new classes")
    if vectors.width != trained.vectors.shape[1]:
        raise InputError(
            f"the vectors of the new classes have {vectors.width} numbers, those of "
            f"{trained.path} {trained.vectors.shape[1]}; use the encoder that made them"
        )
    if ids and len(ids) != len(vectors.names):
        raise InputError(f"{len(ids)} ids for {len(vectors.names)} new classes; give one for each")
    first = max(info.id for info in split.classes) + 1
    numbers = ids or range(first, first + len(vectors.names))
    added = tuple(
        ClassInfo(number, name, name not in stuff, True)
        for number, name in zip(numbers, vectors.names, strict=True)
    )
    rows = [*range(split.num_classes), *[None] * len(added)]
    grown = _with_rows(trained, ClassSplit(split.name, split.classes + added), rows)
    grown.model["class_vectors"][split.num_classes :] = torch.from_numpy(vectors.vectors)
    _learn_rows(grown, range(split.num_classes, grown.split.num_classes), seed)
    return grown


def remove_classes(trained: TrainedClasses, names: Sequence[str]) -> TrainedClasses:
    """Take classes out of a checkpoint.

    Raises:
        InputError: a class that is not there, or no seen or unseen class would be left.
    """
    _require(trained, names)
    split = trained.split
    kept = [i for i, name in enumerate(split.names) if name not in names]
    left = ClassSplit(split.name, tuple(split.classes[i] for i in kept))
    if not left.unseen:
        raise InputError(f"{trained.path}: no unseen class would be left; keep one")
    return _with_rows(trained, left, kept)


def rename_classes(trained: TrainedClasses, names: Mapping[str, str]) -> TrainedClasses:
    """Call classes differently; vectors and classifier stay.

    Args:
        trained: the checkpoint.
        names: old to new.

    Raises:
        InputError: a class that is not there, or what :class:`ClassSplit` refuses.
    """
    _require(trained, list(names))
    classes = [replace(i, name=names.get(i.name, i.name)) for i in trained.split.classes]
    return replace(trained, split=ClassSplit(trained.split.name, tuple(classes)))


def similar_classes(trained: TrainedClasses, vectors: ClassVectors) -> list[tuple[str, str, float]]:
    """Pairs that a classifier by name can hardly tell apart: (new, present or new, cosine)."""
    new = F.normalize(torch.from_numpy(vectors.vectors), dim=-1)
    everything = torch.cat((F.normalize(trained.vectors.float(), dim=-1), new))
    names = (*trained.split.names, *vectors.names)
    cosine = new @ everything.T
    found = []
    for row, name in enumerate(vectors.names):
        for other in (cosine[row] > SIMILAR).nonzero()[:, 0].tolist():
            if other < trained.split.num_classes + row:
                found.append((name, names[other], float(cosine[row, other])))
    return sorted(found, key=lambda pair: -pair[2])


def require_same_encoder(trained: TrainedClasses, present: ClassVectors, what: str) -> None:
    """Refuse vectors of an encoder that gives the model's own classes other vectors.

    Args:
        trained: the checkpoint.
        present: vectors of some of its classes, by the encoder in question.
        what: the encoder, for the message.
    """
    if present.width != trained.vectors.shape[1]:
        raise InputError(
            f"{what} gives vectors of {present.width} numbers, those of {trained.path} have "
            f"{trained.vectors.shape[1]}; use the encoder that made them"
        )
    rows = [trained.split.names.index(name) for name in present.names]
    cosine = F.cosine_similarity(torch.from_numpy(present.vectors), trained.vectors[rows].float())
    worst = int(cosine.argmin())
    if cosine[worst] < SAME:
        raise InputError(
            f"{what} is not what made the class vectors of {trained.path}: its vector of "
            f"{present.names[worst]!r} has a cosine of {float(cosine[worst]):.2f} to the model's"
        )


def _require(trained: TrainedClasses, names: Sequence[str]) -> None:
    for name in names:
        if name not in trained.split.names:
            raise InputError(f"{trained.path}: there is no class {name!r}")


def _with_rows(
    trained: TrainedClasses, split: ClassSplit, rows: Sequence[int | None]
) -> TrainedClasses:
    """The checkpoint for another split, whose classes take these rows; None starts at zero."""
    model = dict(trained.model)
    sources = {"class_vectors": list(rows)}
    sources |= {name: [*rows, trained.split.num_classes] for name in _BY_CLASS}
    for name, wanted in sources.items():
        old = model[name]
        new = torch.zeros((len(wanted), *old.shape[1:]), dtype=old.dtype)
        places = [place for place, row in enumerate(wanted) if row is not None]
        new[places] = old[[row for row in wanted if row is not None]]
        model[name] = new
    return replace(trained, model=model, split=split)


def _learn_rows(trained: TrainedClasses, new: range, seed: int) -> None:
    """Learn the classifier's rows of the new classes, in place; the others stay."""
    model, split = trained.model, trained.split
    cfg = _configuration(trained)
    generator, projection = _generator(cfg, model)
    generator.train()  # dropout is part of what the classifier of stage 2 learns from
    with torch.no_grad():
        tokens = F.linear(model["class_vectors"].float(), **projection)
    real, real_labels = held_embeddings(model["memory.embeddings"].float(), model["memory.counts"])
    unseen = torch.tensor(split.unseen).repeat_interleave(_SYNTHETIC)
    labels = torch.cat((real_labels, unseen))
    weight = _row_weights(cfg, model, labels, split, new)
    old_weight, old_bias = model["classifier.weight"].float(), model["classifier.bias"].float()
    start = [i for i in split.unseen if i not in new]
    rows = nn.Parameter(old_weight[start].mean(0).repeat(len(new), 1))
    biases = nn.Parameter(old_bias[start].mean().repeat(len(new)))
    optimizer = torch.optim.Adam([rows, biases], lr=_RATE)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    with torch.random.fork_rng([]):
        seed_everything(seed, Stream.STEP)
        for _ in range(_STEPS):
            with torch.no_grad():
                embeddings = torch.cat((real, generator(tokens[unseen])))
            logits = F.linear(embeddings, old_weight, old_bias)
            learned = F.linear(embeddings, rows, biases)
            logits = torch.cat((logits[:, : new.start], learned, logits[:, -1:]), dim=1)
            losses = F.cross_entropy(logits, labels, reduction="none")
            optimizer.zero_grad()
            (losses @ weight).backward()
            optimizer.step()
            scheduler.step()
    model["classifier.weight"][new.start : new.stop] = rows.detach()
    model["classifier.bias"][new.start : new.stop] = biases.detach()


def _row_weights(
    cfg: CfgNode, model: Mapping[str, Tensor], labels: Tensor, split: ClassSplit, new: range
) -> Tensor:
    """Weights of the rows to learn on, of sum 1.

    Every class counts alike, the new ones somewhat less, and no-object as much as in stage 2: by
    how often it was met, times what a store has left out, and by its class weight.
    """
    kept = cfg.MODEL.STORE.NO_OBJECT_SHARE if asks_for_store(cfg) else 1.0
    met = model["memory.counts"].float()
    share = torch.ones(split.num_classes + 1)
    share[new.start : new.stop] = _NEW_WEIGHT
    seen = met[list(split.seen)]
    no_object = cfg.MODEL.ZERO_SHOT.NO_OBJECT_WEIGHT / kept
    share[-1] = no_object * met[-1] / seen[seen > 0].mean()
    weight = (share / labels.bincount(minlength=len(share)).clamp_min(1))[labels]
    return weight / weight.sum()


def _configuration(trained: TrainedClasses) -> CfgNode:
    cfg = get_cfg()
    add_pading_config(cfg)
    try:
        stored = CfgNode(yaml.safe_load(trained.config))
        for section in ("SEGMENTER", "GENERATOR", "STORE", "ZERO_SHOT"):
            cfg.MODEL[section].merge_from_other_cfg(stored.MODEL[section])
    except (yaml.YAMLError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{trained.path}: its configuration cannot be read: {error}") from error
    return cfg


def _generator(cfg: CfgNode, model: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    generator = build_generator(cfg)
    prefix = "generator."
    mine = {n.removeprefix(prefix): v for n, v in model.items() if n.startswith(prefix)}
    try:
        generator.load_state_dict(mine)
    except RuntimeError as error:
        raise InputError(f"its generator does not fit its configuration: {error}") from error
    projection = {key: model[f"semantic_projection.{key}"].float() for key in ("weight", "bias")}
    return generator, projection
