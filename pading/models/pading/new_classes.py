"""The same stage-2 model with other classes: rows of the classifier for names, without any image.

A checkpoint carries what that takes: the generator, the class vectors, the split, and a small
memory of real embeddings of every seen class and of no-object. A new class is an unseen one: its
vector goes through the generator, and its row of the classifier is learned on the synthetic
embeddings, against the memory and those of the other unseen classes. The rows of the other classes
stay as they are, so that they change only where the new class wins.
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pading.errors import InputError
from pading.models.class_head import CLASS_HEAD
from pading.models.pading.ridge_generator import RidgeGenerator
from pading.models.pading.split_checks import check_unseen
from pading.randomness import Stream, seed_everything
from pading.vocabulary.splits import ClassSplit

if TYPE_CHECKING:  # the model asks this module for its new classes
    from pading.models.pading.stage_two import PADing

# Tensors with a row per class, no-object last; class_vectors has none for no-object.
_BY_CLASS = (
    *(CLASS_HEAD + name for name in ("weight", "bias")),
    *("classifier.weight", "classifier.bias", "memory.embeddings", "memory.counts"),
)
# And of a generator that learns by observing.
_OBSERVED = tuple("generator." + name for name in ("vectors", "means", "counts"))
# Retraining: steps of Adam, its rate, and synthetic embeddings of each unseen class in a step.
_STEPS, _RATE, _SYNTHETIC = 400, 0.02, 8
# Weight of a new class beside that of any other: with 1, two new classes took 0.4 to 1.8 PQ from
# the seen ones on Shapes, with this at most 0.8 (docs/ablation.md).
_NEW_WEIGHT = 0.7


def with_classes(
    model: "PADing",
    split: ClassSplit,
    class_vectors: Tensor,
    rows: Sequence[int | None],
    seed: int = 0,
) -> "PADing":
    """See :meth:`pading.models.base.SegmentationModel.with_classes`.

    Raises:
        InputError: no unseen class is left; a new class is to be learned beside an empty memory of
            real embeddings; there is a second opinion.
    """
    if model.second_opinion is not None:
        raise InputError(
            "MODEL.INFERENCE.SECOND_OPINION.WEIGHTS is a model of the present classes; leave it "
            "empty to ask for others"
        )
    check_unseen(split)
    if None in rows and not model.memory.counts[:-1].any():  # no-object is last
        raise InputError(
            "the model's memory of real embeddings is empty, and classes are learned against it; "
            "train stage 2 from these weights for some steps"
        )
    if None in rows and not split.seen:
        raise InputError(
            "new classes are learned beside those that it was trained on, of which none is left; "
            "keep at least one seen class"
        )
    grown = copy.deepcopy(model)
    grown.split = split
    present = dict(grown.named_parameters()) | dict(grown.named_buffers())
    with_no_object = [*rows, model.split.num_classes]
    for name in _BY_CLASS:
        _replace(grown, name, _taken(present[name], with_no_object))
    for name in _OBSERVED if isinstance(grown.generator, RidgeGenerator) else ():
        _replace(grown, name, _taken(present[name], rows))
    grown.class_vectors = class_vectors.to(model.class_vectors)
    grown.set_rows()
    grown.set_groups()
    new = [place for place, row in enumerate(rows) if row is None]
    if new:
        _learn_rows(grown, new, seed)
    return grown


def _taken(old: Tensor, rows: Sequence[int | None]) -> Tensor:
    """The rows of a tensor in another order; None starts at zero."""
    new = old.new_zeros((len(rows), *old.shape[1:]))
    places = [place for place, row in enumerate(rows) if row is not None]
    new[places] = old.detach()[[row for row in rows if row is not None]]
    return new


def _replace(model: nn.Module, name: str, value: Tensor) -> None:
    """Put a tensor of another shape in the place of a parameter or buffer."""
    path, _, last = name.rpartition(".")
    owner = model.get_submodule(path)
    old = getattr(owner, last)
    is_parameter = isinstance(old, nn.Parameter)
    setattr(owner, last, nn.Parameter(value, old.requires_grad) if is_parameter else value)
    if isinstance(owner, nn.Linear):
        owner.out_features = len(value)


def _learn_rows(model: "PADing", new: Sequence[int], seed: int) -> None:
    """Learn the classifier's rows of the new classes, in place; the others stay."""
    split, device = model.split, model.device
    training = model.generator.training
    model.generator.train()  # dropout is part of what the classifier of stage 2 learns from
    with torch.no_grad():
        tokens = model.semantic_tokens().float()
    real, real_labels = model.memory.held()
    unseen = torch.tensor(split.unseen, device=device).repeat_interleave(_SYNTHETIC)
    labels = torch.cat((real_labels, unseen))
    weight = _row_weights(model, labels, new)
    old_weight, old_bias = (p.detach().float() for p in model.classifier.parameters())
    start = [i for i in split.unseen if i not in new] or list(split.seen)
    rows = nn.Parameter(old_weight[start].mean(0).repeat(len(new), 1))
    biases = nn.Parameter(old_bias[start].mean().repeat(len(new)))
    optimizer = torch.optim.Adam([rows, biases], lr=_RATE)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    places = torch.tensor(new, device=device)
    with torch.random.fork_rng():
        seed_everything(seed, Stream.STEP)
        for _ in range(_STEPS):
            with torch.no_grad():
                embeddings = torch.cat((real.float(), model.generator(tokens[unseen])))
                logits = F.linear(embeddings, old_weight, old_bias)
            logits = logits.index_copy(1, places, F.linear(embeddings, rows, biases))
            losses = F.cross_entropy(logits, labels, reduction="none")
            optimizer.zero_grad()
            (losses @ weight).backward()
            optimizer.step()
            scheduler.step()
    model.generator.train(training)
    with torch.no_grad():
        model.classifier.weight[places] = rows.to(model.classifier.weight)
        model.classifier.bias[places] = biases.to(model.classifier.bias)


def _row_weights(model: "PADing", labels: Tensor, new: Sequence[int]) -> Tensor:
    """Weights of the rows to learn on, of sum 1.

    Every class counts alike, the new ones somewhat less, and no-object as much as in stage 2: by
    how often it was met, times what a store has left out, and by its class weight.
    """
    split, met = model.split, model.memory.counts.float()
    share = torch.ones(split.num_classes + 1, device=labels.device)
    share[list(new)] = _NEW_WEIGHT
    seen = met[list(split.seen)]
    no_object = model.zero_shot_criterion.no_object_weight / model.kept_share
    share[-1] = no_object * met[-1] / seen[seen > 0].mean()
    weight = (share / labels.bincount(minlength=len(share)).clamp_min(1))[labels]
    return weight / weight.sum()
