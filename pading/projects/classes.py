"""The classes of a project: which there are, what they mean, and what is wrong with them."""

import difflib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pading.data.formats.collected import Collected
from pading.errors import InputError
from pading.files import field
from pading.vocabulary.class_vectors import (
    ClassVectors,
    read_class_vectors,
    shipped_class_vectors,
)
from pading.vocabulary.prompts import prompt_set, prompt_text
from pading.vocabulary.splits import ClassInfo, ClassSplit
from pading.vocabulary.text_encoders import encode_classes
from pading.vocabulary.text_sources import text_encoder, usual_prompts

RARE = 10
"""Segments of a class below which it is hardly learned."""
ALIKE = 0.95
"""Cosine of two vectors from which their names nearly coincide."""


def split_of_content(found: Collected, name: str, unseen: Sequence[str]) -> ClassSplit:
    """The classes that annotations declare.

    Args:
        found: the annotations that are trained on.
        name: of the split.
        unseen: names of the classes that no mask may show in training.

    Raises:
        InputError: a malformed category, or an unseen class that is none of them.
    """
    classes = []
    for number, category in enumerate(field(found.content, "categories", list, found.origin)):
        where = f"{found.origin}: category {number} (counted from 0)"
        class_id, own = field(category, "id", int, where), field(category, "name", str, where)
        isthing = found.task == "instance" or bool(category.get("isthing", 1))
        classes.append(ClassInfo(class_id, own, isthing, own in unseen))
    names = [info.name for info in classes]
    for wanted in unseen:
        if wanted not in names:
            near = difflib.get_close_matches(wanted, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(names[:20])}"
            raise InputError(f"--unseen {wanted}: none of the classes of {found.origin}; {hint}")
    try:
        return ClassSplit(name, tuple(classes))
    except InputError as error:
        raise InputError(f"{found.origin}: {error}") from error


def with_ids_of(split: ClassSplit, found: Collected) -> None:
    """Give annotations the ids that the classes of the same names have in the split, in place.

    A class that the split does not have is a fault.
    """
    ids = {info.name: info.id for info in split.classes}
    new: dict[Any, int] = {}
    for category in found.content.get("categories", ()):
        if category.get("name") in ids:
            new[category.get("id")] = ids[category["name"]]
        else:
            found.faults.append(
                InputError(
                    f"{found.origin}: the class {category.get('name')!r} is not among those that "
                    "are trained on; give it the name that it has there",
                    "outside the split",
                )
            )
    if found.task == "semantic":
        if any(old != number for old, number in new.items()):
            found.faults.append(
                InputError(f"{found.origin}: its values mean other classes than in training")
            )
        return
    for annotation in found.content.get("annotations", ()):
        for entry in annotation.get("segments_info", (annotation,)):
            number = entry.get("category_id")
            entry["category_id"] = new.get(number, number)
    found.content["categories"] = [
        {"id": info.id, "name": info.name, "isthing": int(info.isthing)} for info in split.classes
    ]


def vectors_for(names: Sequence[str], source: str) -> ClassVectors:
    """Vectors of class names.

    Args:
        names: of the classes.
        source: a file of vectors, the name of shipped ones, or an encoder as
            :func:`~pading.vocabulary.text_sources.text_encoder` takes it; "": shipped vectors that
            have all names, else MiniLM.

    Raises:
        InputError: what reading or encoding refuses.
    """
    if source in shipped_class_vectors() or source.endswith(".npz"):
        return _selected(read_class_vectors(source), names)
    if not source:
        for shipped in shipped_class_vectors():
            known = read_class_vectors(shipped)
            if {*names} <= {*known.names}:
                return _selected(known, names)
    try:
        encoder, described = text_encoder(source or "minilm")
    except InputError as error:
        raise InputError(
            f"the class names need vectors, and {error}; or give --vectors FILE.npz, or another "
            "encoder (pading vectors --help)"
        ) from error
    prompts = prompt_set(usual_prompts(source))
    return encode_classes(names, encoder, described, prompts)


def _selected(known: ClassVectors, names: Sequence[str]) -> ClassVectors:
    return ClassVectors(tuple(names), known.select(names).numpy(), known.source)


def alike(vectors: ClassVectors) -> Iterator[tuple[str, str, float]]:
    """Pairs of names that nearly coincide, and their cosine."""
    unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    plain = [prompt_text(name).casefold() for name in vectors.names]
    for first in range(len(plain)):
        for second in range(first + 1, len(plain)):
            if cosines[first, second] >= ALIKE or plain[first] == plain[second]:
                names = vectors.names
                yield names[first], names[second], float(cosines[first, second])


def absolute(path: str | os.PathLike[str]) -> str:
    """A path that holds wherever it is read from."""
    return os.path.abspath(path)
