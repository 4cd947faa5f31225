"""The models of a page, and what users have made of them with classes of their own."""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from pading.errors import InputError
from pading.prediction import Predictor, load

# Grown models share no memory with others where their classifier was learned anew.
_KEPT = 8
MOST_NAMES = 50
LONGEST_NAME = 100

Vocabulary = tuple[tuple[str, ...], tuple[str, ...]]
"""Labels that stand in place of the model's own (empty: its own), and classes that are added."""


class ModelPool:
    """Models by their title; the last few vocabularies of each stay, for all users together."""

    def __init__(
        self, checkpoints: Sequence[str], overrides: Sequence[str] = (), vectors: str = ""
    ) -> None:
        """
        Args:
            checkpoints: that training wrote.
            vectors: where those of new names come from: a file of them or a text encoder; "": the
                encoder that each checkpoint records.
            overrides: configuration keys and values in turn.

        Raises:
            InputError: what :func:`pading.load` refuses, or one given twice.
        """
        paths = [os.path.abspath(path) for path in checkpoints]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice:
            raise InputError(f"{twice}: is given twice; compare different models")
        models = [load(path, overrides=overrides) for path in checkpoints]
        self._models = dict(zip(_titles(paths), models, strict=True))
        self._vectors = vectors
        self._grown: OrderedDict[tuple[str, Vocabulary], Predictor] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def titles(self) -> list[str]:
        return list(self._models)

    def get(self, title: str, vocabulary: Vocabulary) -> Predictor:
        """A model with other classes.

        Raises:
            InputError: an unknown title; a model that takes no classes by name, or not these.
        """
        if title not in self._models:
            raise InputError("there is no such model on this page; choose one of the list")
        labels, added = vocabulary
        if not (labels or added):
            return self._models[title]
        with self._lock:
            key = (title, vocabulary)
            if key not in self._grown:
                grown = self._models[title]
                if labels:
                    grown = grown.with_classes(labels, self._vectors)
                if added:
                    grown = grown.add_classes(added, encoder=self._vectors)
                self._grown[key] = grown
                if len(self._grown) > _KEPT:
                    self._grown.popitem(last=False)
            self._grown.move_to_end(key)
            return self._grown[key]


def checked_name(text: str) -> str:
    """A class's name as a user typed it, without needless spaces.

    Raises:
        InputError: empty, or too long.
    """
    name = " ".join(text.split())
    if not name:
        raise InputError("the name is empty; type what the class is called, such as red hexagon")
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"a name of {len(name)} characters; the longest that is taken has {LONGEST_NAME}"
        )
    return name


def checked_names(text: str) -> tuple[str, ...]:
    """Names that commas or lines divide; none is fine.

    Raises:
        InputError: as :func:`checked_name`, one that is there twice, or too many.
    """
    names = tuple(checked_name(n) for n in text.replace("\n", ",").split(",") if n.strip())
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"{twice!r} is there twice; name it once")
    if len(names) > MOST_NAMES:
        raise InputError(f"{len(names)} names; the most that are taken are {MOST_NAMES}")
    return names


def _titles(paths: Sequence[str]) -> list[str]:
    """The parts of the paths in which they differ; of one model, its folder and file."""
    if len(paths) == 1:
        return ["/".join(Path(paths[0]).parts[-2:])]
    shared = Path(os.path.commonpath([Path(path).parent for path in paths]))
    return [str(Path(path).relative_to(shared)) for path in paths]
