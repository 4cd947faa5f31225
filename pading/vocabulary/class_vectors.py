"""Class vectors: what a class's name means, as numbers, looked up by name.

Our file format is an ``.npz`` without pickled objects, of these entries:

    format    "pading class vectors 1"
    names     (N,) text, the exact class names of the splits
    vectors   (N, d) float32
    source    text: encoder and prompts
    checksum  SHA-256 over names and vectors (see :attr:`ClassVectors.checksum`)

Vectors are used as they are stored. The ones that ship with pading are the mean of unit vectors
over several prompts, made unit again (:mod:`pading.vocabulary.text_encoders`); word2vec files keep
the length they come with.
"""

import hashlib
import json
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from pading.errors import InputError
from pading.files import writing
from pading.vocabulary.splits import ClassSplit

_SHIPPED = Path(__file__).parent / "vectors"
_FORMAT = "pading class vectors 1"
_ENTRIES = ("format", "names", "vectors", "source", "checksum")


@dataclass(frozen=True, eq=False)
class ClassVectors:
    """Vectors of named classes.

    Args:
        names: N different class names.
        vectors: (N, d) float32, all finite.
        source: where they come from, for people to read.

    Raises:
        InputError: a repeated name, or vectors of a wrong shape, that are zero or that hold NaN or
            infinite values; the message names the class.
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    source: str

    def __post_init__(self) -> None:
        if not all(isinstance(name, str) for name in self.names):
            raise InputError("names must be texts, one per class")
        if self.vectors.dtype != np.float32 or self.vectors.ndim != 2:
            raise InputError(
                "vectors must be a float32 matrix of one row per class, not "
                f"{self.vectors.dtype} of shape {self.vectors.shape}"
            )
        if len(self.names) != len(self.vectors) or not self.vectors.size:
            raise InputError(
                f"{len(self.names)} names do not fit vectors of shape {self.vectors.shape}"
            )
        repeated = [name for name, count in Counter(self.names).items() if count > 1]
        if repeated:
            raise InputError(
                f"the class {repeated[0]!r} has {self.names.count(repeated[0])} vectors; keep one"
            )
        for name, vector in zip(self.names, self.vectors, strict=True):
            if not np.isfinite(vector).all() or not vector.any():
                what = "is zero" if np.isfinite(vector).all() else "holds NaN or infinite values"
                raise InputError(f"the vector of class {name!r} {what}; make it again")

    @property
    def width(self) -> int:
        """d."""
        return self.vectors.shape[1]

    @cached_property
    def checksum(self) -> str:
        """SHA-256 in hexadecimal over the names as JSON, the shape, the little-endian values."""
        digest = hashlib.sha256(json.dumps([*self.names, list(self.vectors.shape)]).encode())
        digest.update(self.vectors.astype("<f4").tobytes())
        return digest.hexdigest()

    def select(self, names: Sequence[str]) -> torch.Tensor:
        """The vectors of some classes: (K, d) float32, in the order of ``names``.

        Raises:
            InputError: a class without a vector; the message names it.
        """
        rows = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in rows]
        if missing:
            alike = {unicodedata.normalize("NFC", name) for name in self.names}
            forms = any(unicodedata.normalize("NFC", name) in alike for name in missing)
            raise InputError(
                f"no vector for {len(missing)} of {len(names)} classes: "
                f"{', '.join(repr(name) for name in missing[:5])}{', ...' * (len(missing) > 5)}"
                + "; there is one whose name has another Unicode form (NFC against NFD)" * forms
                + "; make vectors for all of them with tools/build_class_vectors.py"
            )
        return torch.from_numpy(self.vectors[[rows[name] for name in names]])

    def save(self, path: str | Path) -> None:
        """Write our file format, atomically; equal vectors give equal bytes.

        Raises:
            InputError: the path does not end in ``.npz``, or cannot be written.
        """
        if Path(path).suffix != ".npz":
            raise InputError(f"{path}: class vectors are written to a file that ends in .npz")
        with writing(path) as temporary:
            np.savez(
                temporary,
                format=_FORMAT,
                names=np.array(self.names),
                vectors=self.vectors,
                source=self.source,
                checksum=self.checksum,
            )


def shipped_class_vectors() -> tuple[str, ...]:
    """Names of the vector files that come with pading."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.npz")))


def read_class_vectors(name_or_path: str | Path) -> ClassVectors:
    """Read vectors that ship with pading, by name, or a file of our format.

    Raises:
        InputError: neither a known name nor a file; a file of another format, changed since it was
            written, or that :class:`ClassVectors` refuses. The message names the file.
    """
    text = str(name_or_path)
    path = _SHIPPED / f"{text}.npz" if text in shipped_class_vectors() else Path(text)
    if not path.is_file():
        raise InputError(
            f"class vectors {text}: neither a file nor one of "
            f"{', '.join(shipped_class_vectors())}; make a file with tools/build_class_vectors.py"
        )
    entries = _read_entries(path)
    try:
        read = ClassVectors(
            tuple(entries["names"].tolist()), entries["vectors"], str(entries["source"])
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if read.checksum != str(entries["checksum"]):
        raise InputError(
            f"{path}: names or vectors do not fit the file's checksum; it was damaged or changed: "
            "make it again"
        )
    return read


def load_class_vectors(
    name_or_path: str | Path, split: ClassSplit, width: int | None = None
) -> torch.Tensor:
    """The vectors of a split's classes: (K, d) float32, in the order of the split.

    Args:
        name_or_path: vectors that ship with pading, a file of our format (``.npz``), or a word2vec
            text file (``.txt``, see :func:`read_word2vec_text`).
        split: whose classes.
        width: the d that is needed, if it matters.

    Raises:
        InputError: what :func:`read_class_vectors`, :func:`read_word2vec_text` and
            :meth:`ClassVectors.select` refuse, or another width; the message names the file.
    """
    if Path(name_or_path).suffix == ".txt":
        found = read_word2vec_text(name_or_path, split)
    else:
        found = read_class_vectors(name_or_path)
    if width is not None and found.width != width:
        raise InputError(
            f"class vectors {name_or_path}: {found.width} numbers per class, but {width} are "
            "needed; take the vectors that the model was trained with, or train with these"
        )
    try:
        return found.select(split.names)
    except InputError as error:
        raise InputError(f"class vectors {name_or_path}, split {split.name!r}: {error}") from error


def vectors_source(name_or_path: str | Path) -> str:
    """What made the vectors of :func:`load_class_vectors`, as :class:`ClassVectors` says it.

    Raises:
        InputError: what :func:`read_class_vectors` refuses.
    """
    if Path(name_or_path).suffix == ".txt":
        return _word2vec_source(name_or_path)
    return read_class_vectors(name_or_path).source


def read_word2vec_text(path: str | Path, split: ClassSplit) -> ClassVectors:
    """Read a word2vec text file as published with ZSI and later systems.

    Such a file is a matrix of d lines by 1 + K numbers, separated by commas or blanks. The first
    column is background, which is dropped; the others carry no names, so they are taken in the
    order of the split (the published order: all seen classes, then all unseen ones).

    Raises:
        InputError: missing file, something that is no number, or a number of columns that does not
            fit the split.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read this word2vec text file: {error}") from error
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.replace(",", " ").split()
        if not cells:
            continue
        if len(cells) != 1 + split.num_classes:
            raise InputError(
                f"{path}: line {number} has {len(cells)} numbers, but background and the "
                f"{split.num_classes} classes of split {split.name!r} make {1 + split.num_classes}"
            )
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError as error:
            raise InputError(
                f"{path}: line {number}: {error}; a word2vec text file holds numbers alone"
            ) from error
    if not rows:
        raise InputError(f"{path}: this word2vec text file is empty")
    vectors = np.ascontiguousarray(np.array(rows, np.float32).T[1:])
    try:
        return ClassVectors(split.names, vectors, _word2vec_source(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _word2vec_source(path: str | Path) -> str:
    return f"word2vec text file {Path(path).name}"


def _read_entries(path: Path) -> dict[str, np.ndarray]:
    remedy = "class vectors are .npz files made by tools/build_class_vectors.py"
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise InputError(f"{path}: a single array; {remedy}")
        with file:
            missing = [key for key in _ENTRIES if key not in file]
            if missing:
                raise InputError(f"{path}: the entry {missing[0]!r} is missing; {remedy}")
            entries = {key: file[key] for key in _ENTRIES}
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error
    if str(entries["format"]) != _FORMAT:
        raise InputError(f"{path}: of format {str(entries['format'])!r}, not {_FORMAT!r}; {remedy}")
    return entries
