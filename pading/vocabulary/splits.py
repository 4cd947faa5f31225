"""Class splits: which classes there are, in which order, and which of them are unseen.

A split is declared once, as a JSON file: ``{"name": ..., "classes": [{"id", "name", "isthing",
"unseen"}, ...]}``. Throughout pading a label is a class's place in that list (its contiguous
index, 0 to K - 1); K stands for no-object.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pading.errors import InputError
from pading.files import field, is_printable, read_json

_SHIPPED = Path(__file__).parent / "splits"
LARGEST_CLASS_ID = 2**24 - 1
_KINDS = {"id": int, "name": str, "isthing": bool, "unseen": bool}
_T = TypeVar("_T")


@dataclass(frozen=True)
class ClassInfo:
    """One class.

    Args:
        id: the category id in the data set's annotation files, at least 0.
        name: what it is called, in the files and by the text encoder.
        isthing: countable (a thing) rather than amorphous (stuff).
        unseen: without training masks.
    """

    id: int
    name: str
    isthing: bool
    unseen: bool


@dataclass(frozen=True)
class ClassSplit:
    """An ordered list of classes, divided into seen and unseen.

    Raises:
        InputError: two classes of one id or one name, an id that is none, a name that is empty or
            not of one line, no class.
    """

    name: str
    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        for what in ("id", "name"):
            twice = _first_repeated(getattr(info, what) for info in self.classes)
            if twice is not None:
                raise InputError(
                    f"class split {self.name!r}: the {what} {twice!r} occurs twice; "
                    "give every class its own"
                )
        twice = _first_repeated(unicodedata.normalize("NFC", info.name) for info in self.classes)
        if twice is not None:
            raise InputError(
                f"class split {self.name!r}: the name {twice!r} occurs in two Unicode forms (NFC "
                "and NFD), which look alike; give every class its own"
            )
        for info in self.classes:
            if not is_printable(info.name):
                raise InputError(
                    f"class split {self.name!r}: the name {info.name!r} has a line break or "
                    "another character that cannot be shown; write it on one line"
                )
            if info.id > LARGEST_CLASS_ID:
                raise InputError(
                    f"class split {self.name!r}: the id {info.id} of {info.name!r} is above "
                    f"{LARGEST_CLASS_ID}, the largest of 24 bits; number the classes anew"
                )
            if info.id < 0 or not info.name.strip():
                raise InputError(
                    f"class split {self.name!r}: {info}: ids start at 0 and names are not empty"
                )
        if not self.classes:
            raise InputError(f"class split {self.name!r} has no classes; declare at least one")

    @classmethod
    def from_json(cls, path: str | Path) -> "ClassSplit":
        """Read a split file.

        Raises:
            InputError: missing or malformed file, unknown keys, wrong types, or what
                :class:`ClassSplit` refuses; the message names file and entry.
        """
        return cls.from_record(read_json(path), str(path))

    @classmethod
    def from_record(cls, content: Any, where: str) -> "ClassSplit":
        """A split as split files and checkpoints hold it.

        Args:
            content: ``{"name": ..., "classes": [{"id", "name", "isthing", "unseen"}, ...]}``.
            where: names the file in errors.

        Raises:
            InputError: see :meth:`from_json`.
        """
        name = field(content, "name", str, where)
        entries = field(content, "classes", list, where)
        _refuse_unknown_keys(content, {"name", "classes"}, where)
        classes = []
        for number, entry in enumerate(entries):
            place = f"{where}: class number {number} (counted from 0)"
            values = {key: field(entry, key, kind, place) for key, kind in _KINDS.items()}
            _refuse_unknown_keys(entry, _KINDS, place)
            classes.append(ClassInfo(**values))
        try:
            return cls(name, tuple(classes))
        except InputError as error:
            raise InputError(f"{where}: {error}") from error

    def record(self) -> dict[str, Any]:
        """What :meth:`from_record` reads."""
        return {"name": self.name, "classes": [asdict(info) for info in self.classes]}

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.classes)

    @property
    def num_seen(self) -> int:
        """S."""
        return len(self.seen)

    @property
    def num_unseen(self) -> int:
        """U."""
        return len(self.unseen)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names in contiguous order."""
        return tuple(info.name for info in self.classes)

    @cached_property
    def seen(self) -> tuple[int, ...]:
        """Contiguous indices of the seen classes, ascending."""
        return tuple(i for i, info in enumerate(self.classes) if not info.unseen)

    @cached_property
    def unseen(self) -> tuple[int, ...]:
        """Contiguous indices of the unseen classes, ascending."""
        return tuple(i for i, info in enumerate(self.classes) if info.unseen)

    @cached_property
    def things(self) -> tuple[int, ...]:
        """Contiguous indices of the things, ascending."""
        return tuple(i for i, info in enumerate(self.classes) if info.isthing)

    @cached_property
    def stuff(self) -> tuple[int, ...]:
        """Contiguous indices of the stuff classes, ascending."""
        return tuple(i for i, info in enumerate(self.classes) if not info.isthing)

    @cached_property
    def contiguous_id(self) -> dict[int, int]:
        """Category id in the annotation files -> contiguous index."""
        return {info.id: i for i, info in enumerate(self.classes)}


def shipped_splits() -> tuple[str, ...]:
    """Names of the splits that come with pading."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.json")))


def load_split(name_or_path: str | Path) -> ClassSplit:
    """A split that ships with pading, by name, one of a fold ("pascal_5i_0"), or of a JSON file.

    Raises:
        InputError: neither a known name nor a ``.json`` path, or a file that
            :meth:`ClassSplit.from_json` refuses.
    """
    text = str(name_or_path)
    if text in shipped_splits():
        return ClassSplit.from_json(_SHIPPED / f"{text}.json")
    if text.endswith(".json"):
        return ClassSplit.from_json(text)
    from pading.vocabulary.fold_splits import fold_split, is_fold  # which builds splits

    if is_fold(text):
        return fold_split(text)
    raise InputError(
        f"there is no class split {text!r}; take one of {', '.join(shipped_splits())}, "
        "or the path of a .json file"
    )


def _first_repeated(values: Iterable[_T]) -> _T | None:
    met: set[_T] = set()
    for value in values:
        if value in met:
            return value
        met.add(value)
    return None


def _refuse_unknown_keys(entry: dict, known: Iterable[str], where: str) -> None:
    unknown = sorted(set(entry) - set(known))
    if unknown:
        raise InputError(
            f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(sorted(known))}"
        )
