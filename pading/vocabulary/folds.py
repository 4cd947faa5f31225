"""Folds of a class list: which classes a model is trained on, and on which others it is tested.

A list is declared once, as a JSON file:
``{"name": ..., "classes": [{"id", "name", "fold"}, ...]}``. A fold is a number (PASCAL-5i and
COCO-20i: tested on that fold, trained on the others) or "train", "val" or "test" (FSS-1000). The
lists are those of HSNet (Min, Kang and Cho, ICCV 2021).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pading.errors import InputError
from pading.files import field, read_json

_SHIPPED = Path(__file__).parent / "folds"


@dataclass(frozen=True)
class FoldClass:
    """One class.

    Args:
        id: its place in the list.
        published: the name that published weights were trained with, such as "pottedplant".
        words: the same in words, such as "potted plant".
    """

    id: int
    published: str
    words: str


@dataclass(frozen=True)
class Fold:
    """Classes of training and of test, which have none in common."""

    name: str
    train: tuple[FoldClass, ...]
    test: tuple[FoldClass, ...]


def fold_lists() -> tuple[str, ...]:
    """Names of the lists that come with pading."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.json")))


def load_fold(name: str, fold: int | str) -> Fold:
    """The classes of a fold of a shipped list.

    Args:
        name: "pascal_5i", "coco_20i" or "fss_1000".
        fold: what is tested: a number, of "fss_1000" "val" or "test".

    Raises:
        InputError: there is no such list, or it has no such fold.
    """
    if name not in fold_lists():
        raise InputError(
            f"there is no class list {name!r} with folds; take one of {', '.join(fold_lists())}"
        )
    path = _SHIPPED / f"{name}.json"
    rows = field(read_json(path), "classes", list, str(path))
    known = [kind for kind in dict.fromkeys(row["fold"] for row in rows) if kind != "train"]
    if fold not in known or isinstance(fold, bool):
        raise InputError(
            f"the class list {name!r} has no fold {fold!r}; "
            f"take one of {', '.join(map(repr, known))}"
        )
    # Where the list says itself what is for training, validation classes are in neither.
    trained = ["train"] if any(row["fold"] == "train" for row in rows) else known
    test = tuple(_fold_class(row) for row in rows if row["fold"] == fold)
    train = tuple(
        _fold_class(row) for row in rows if row["fold"] in trained and row["fold"] != fold
    )
    return Fold(f"{name}_{fold}", train, test)


def _fold_class(row: dict[str, Any]) -> FoldClass:
    words = row.get("words", row["name"].replace("_", " "))
    return FoldClass(row["id"], row["name"], words)
