"""Adding, removing and renaming the classes of a trained model, whichever system it is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch.nn import functional as F

from pading.errors import InputError
from pading.models.base import SegmentationModel
from pading.vocabulary.class_vectors import ClassVectors, read_class_vectors
from pading.vocabulary.prompts import PromptSet
from pading.vocabulary.splits import ClassInfo, ClassSplit
from pading.vocabulary.text_encoders import TextEncoder, encode_classes

# Cosine similarity from which two names are hard to tell apart, or two vectors are the same.
SIMILAR, SAME = 0.85, 0.99
# Present classes that are encoded again, to find out whether it is the model's encoder.
_PROBES = 5

Model = TypeVar("Model", bound=SegmentationModel)


def add_classes(
    model: Model,
    vectors: ClassVectors,
    stuff: Sequence[str] = (),
    ids: Sequence[int] = (),
    seed: int = 0,
) -> Model:
    """The model with unseen classes behind its own; the model itself stays as it is.

    Args:
        model: learned from class vectors.
        vectors: of the new classes, by name, from the encoder that made the model's.
        stuff: those that are stuff; the others are things.
        ids: category ids of the new classes; by default those after the largest there is.
        seed: of whatever is drawn to learn them.

    Raises:
        InputError: an empty name or one that is there already, vectors of another width, too few
            ids, and what ``with_classes`` and :class:`ClassSplit` refuse.
    """
    split, present = model.split, _vectors(model)
    for name in vectors.names:
        if not name.strip():
            raise InputError("a class's name is empty; give the name that the text encoder reads")
        if name in split.names:
            raise InputError(f"the class {name!r} is there already")
    unknown = [name for name in stuff if name not in vectors.names]
    if unknown:
        raise InputError(f"stuff {unknown[0]!r} is none of the new classes")
    if vectors.width != present.shape[1]:
        raise InputError(
            f"the vectors of the new classes have {vectors.width} numbers, those of the model "
            f"{present.shape[1]}; use the encoder that made them"
        )
    if ids and len(ids) != len(vectors.names):
        raise InputError(f"{len(ids)} ids for {len(vectors.names)} new classes; give one for each")
    first = max(info.id for info in split.classes) + 1
    numbers = ids or range(first, first + len(vectors.names))
    added = tuple(
        ClassInfo(number, name, name not in stuff, True)
        for number, name in zip(numbers, vectors.names, strict=True)
    )
    grown = ClassSplit(split.name, split.classes + added)
    both = torch.cat((present.cpu().float(), torch.from_numpy(vectors.vectors)))
    rows = [*range(split.num_classes), *[None] * len(added)]
    return model.with_classes(grown, both, rows, seed)


def replace_classes(model: Model, vectors: ClassVectors, seed: int = 0) -> Model:
    """The model with these classes in the place of its own; the model itself stays as it is.

    The id of a class is its place in the list. A class that the model knows keeps what was learned
    of it; the others are unseen things.

    Args:
        model: learned from class vectors.
        vectors: of all classes, by name, from the encoder that made the model's.
        seed: of whatever is drawn to learn new ones.

    Raises:
        InputError: vectors of another width, and what ``with_classes`` refuses.
    """
    present = _vectors(model)
    if vectors.width != present.shape[1]:
        raise InputError(
            f"the vectors of the labels have {vectors.width} numbers, those of the model "
            f"{present.shape[1]}; use the encoder that made them"
        )
    known = {info.name: row for row, info in enumerate(model.split.classes)}
    rows = [known.get(name) for name in vectors.names]
    classes = tuple(
        ClassInfo(place, name, True, True)
        if row is None
        else replace(model.split.classes[row], id=place)
        for place, (name, row) in enumerate(zip(vectors.names, rows, strict=True))
    )
    split = ClassSplit(model.split.name, classes)
    return model.with_classes(split, torch.from_numpy(vectors.vectors), rows, seed)


def remove_classes(model: Model, names: Sequence[str]) -> Model:
    """The model without some of its classes.

    Raises:
        InputError: a class that is not there, or no unseen class would be left.
    """
    _require(model, names)
    split = model.split
    kept = [i for i, name in enumerate(split.names) if name not in names]
    left = ClassSplit(split.name, tuple(split.classes[i] for i in kept))
    if split.unseen and not left.unseen:
        raise InputError("no unseen class would be left; keep one")
    return model.with_classes(left, _vectors(model)[kept], kept)


def rename_classes(model: Model, names: Mapping[str, str]) -> Model:
    """The model with classes that are called differently; vectors and weights stay.

    Args:
        model: the model.
        names: old to new.

    Raises:
        InputError: a class that is not there, or what :class:`ClassSplit` refuses.
    """
    _require(model, list(names))
    classes = [replace(i, name=names.get(i.name, i.name)) for i in model.split.classes]
    split = ClassSplit(model.split.name, tuple(classes))
    return model.with_classes(split, _vectors(model), range(split.num_classes))


def class_vectors_of(model: SegmentationModel, source: str) -> ClassVectors:
    """The vectors under the names of the split, for MODEL.CLASS_VECTORS.

    Args:
        model: uses class vectors.
        source: where the model is from, for people to read.
    """
    return ClassVectors(model.split.names, _vectors(model).cpu().float().numpy(), source)


def similar_classes(
    model: SegmentationModel, vectors: ClassVectors
) -> list[tuple[str, str, float]]:
    """Pairs that a classifier by name can hardly tell apart: (new, present or new, cosine)."""
    new = F.normalize(torch.from_numpy(vectors.vectors), dim=-1)
    everything = torch.cat((F.normalize(_vectors(model).cpu().float(), dim=-1), new))
    names = (*model.split.names, *vectors.names)
    cosine = new @ everything.T
    found = []
    for row, name in enumerate(vectors.names):
        for other in (cosine[row] > SIMILAR).nonzero()[:, 0].tolist():
            if other < model.split.num_classes + row:
                found.append((name, names[other], float(cosine[row, other])))
    return sorted(found, key=lambda pair: -pair[2])


def require_same_encoder(model: SegmentationModel, present: ClassVectors, what: str) -> None:
    """Refuse vectors of an encoder that gives the model's own classes other vectors.

    Args:
        model: the model.
        present: vectors of some of its classes, by the encoder in question.
        what: the encoder, for the message.

    Raises:
        InputError: another width, or another vector.
    """
    own = _vectors(model).cpu().float()
    if present.width != own.shape[1]:
        raise InputError(
            f"{what} gives vectors of {present.width} numbers, those of the model have "
            f"{own.shape[1]}; use the encoder that made them"
        )
    rows = [model.split.names.index(name) for name in present.names]
    cosine = F.cosine_similarity(torch.from_numpy(present.vectors), own[rows])
    worst = int(cosine.argmin())
    if cosine[worst] < SAME:
        raise InputError(
            f"{what} is not what made the class vectors of the model: its vector of "
            f"{present.names[worst]!r} has a cosine of {float(cosine[worst]):.2f} to the model's"
        )


def vectors_by_encoder(
    model: SegmentationModel,
    names: Sequence[str],
    encoder: TextEncoder,
    source: str,
    prompts: PromptSet | None = None,
) -> ClassVectors:
    """Vectors of new names by an encoder, which must be the one that made the model's.

    Args:
        model: the model.
        names: different names.
        encoder: texts to numbers.
        source: what the encoder is.
        prompts: that the names are put into; by default ours.

    Raises:
        InputError: an empty or repeated name; another encoder.
    """
    probes = model.split.names[:: max(1, model.split.num_classes // _PROBES)]
    made = encode_classes(names, encoder, source, prompts)
    require_same_encoder(model, encode_classes(probes, encoder, source, prompts), source)
    return made


def vectors_by_file(model: SegmentationModel, names: Sequence[str], path: str) -> ClassVectors:
    """Vectors of new names out of a vector file, or a set that ships with pading.

    Classes that the model and the file share must have the same vectors in both.

    Raises:
        InputError: what :func:`read_class_vectors` refuses, a name that is missing, other vectors.
    """
    found = read_class_vectors(path)
    shared = [name for name in model.split.names if name in found.names]
    if shared:
        vectors = found.select(shared).numpy()
        present = ClassVectors(tuple(shared), vectors, found.source)
        require_same_encoder(model, present, f"{path} ({found.source})")
    try:
        return ClassVectors(tuple(names), found.select(names).numpy(), found.source)
    except InputError as error:
        raise InputError(f"class vectors {path}: {error}") from error


def _vectors(model: SegmentationModel) -> torch.Tensor:
    if model.class_vectors is None:
        raise InputError(
            f"{type(model).__name__} has no class vectors, so its classes cannot be changed by "
            "name; give a model that learned from them"
        )
    return model.class_vectors


def _require(model: SegmentationModel, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"the class {twice[0]!r} is named twice")
    for name in names:
        if name not in model.split.names:
            raise InputError(f"there is no class {name!r}")
