"""Stored embeddings on disk: a folder of shards and a header that says what they were made of.

    STORE/header.json            what decides the content; see :class:`Header`
    STORE/00000.safetensors ...  one file per shard, written whole or not at all:
        embeddings  (R, C) float16 or float32, the kept queries of the shard's items in turn
        labels      (R,) int16, places in the header's classes; their number is no-object
        counts      (items of the shard,) int32, rows of each item

An item is one image in one augmentation: item a * images + i is image i in its augmentation a.
Shards are memory-mapped, so reading touches the rows that are asked for.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from pading.errors import InputError
from pading.files import field, read_json, replacing, write_json
from pading.vocabulary.splits import ClassSplit

if TYPE_CHECKING:  # the model asks for its store
    from pading.models.pading.stage_two import PADing

HEADER = "header.json"
DTYPES = {"float16": torch.float16, "float32": torch.float32}
_FORMAT = "pading embeddings 1"
_CLASS_HEAD = "sem_seg_head.predictor.class_embed."
_REMEDY = "make a store for this model and data with tools/store_embeddings.py"


@dataclass(frozen=True)
class Header:
    """What a store was made of.

    Args:
        weights: :func:`segmenter_checksum` of the model.
        classes: names of the classes that labels stand for: the seen ones of the split.
        data_sets: names of the training sets.
        data: checksum of their images' names and annotations.
        input: settings that decide what the segmenter sees and how queries are matched, by key.
        settings: how the store was made: augmentations, share of unmatched queries, and so on.
        images: number of images.
        width: C.
    """

    weights: str
    classes: list[str]
    data_sets: list[str]
    data: str
    input: dict[str, Any]
    settings: dict[str, Any]
    images: int
    width: int

    @property
    def items(self) -> int:
        """Images times augmentations."""
        return self.images * self.settings["AUGMENTATIONS"]

    def shard_items(self) -> list[range]:
        """The items of each shard."""
        size = self.settings["SHARD_IMAGES"]
        return [range(s, min(s + size, self.items)) for s in range(0, self.items, size)]

    def write(self, folder: str | Path) -> None:
        """Write ``folder/header.json``, atomically."""
        content = {"format": _FORMAT, **asdict(self)}
        write_json(Path(folder) / HEADER, content, indent=1)

    @classmethod
    def read(cls, folder: str | Path) -> "Header":
        """Read ``folder/header.json``.

        Raises:
            InputError: it is missing, or of another format.
        """
        path = Path(folder) / HEADER
        content = read_json(path, f"{folder} is no store of embeddings; {_REMEDY}")
        if field(content, "format", str, str(path)) != _FORMAT:
            raise InputError(f"{path}: of format {content['format']!r}, not {_FORMAT!r}; {_REMEDY}")
        kinds: dict[str, type] = {
            "classes": list,
            "data_sets": list,
            "input": dict,
            "settings": dict,
        }
        kinds |= {"images": int, "width": int}
        names = [f.name for f in fields(cls)]
        return cls(**{n: field(content, n, kinds.get(n, str), str(path)) for n in names})

    def require(self, wanted: "Header", folder: str | Path) -> None:
        """Refuse a store that was made of something else than stage 2 is given.

        How it was made (``settings``) is the store's own affair.

        Raises:
            InputError: names the first thing that differs, and both values.
        """
        for name in ("weights", "classes", "data_sets", "data", "input", "width"):
            mine, theirs = getattr(self, name), getattr(wanted, name)
            if name == "input":  # older stores do not have all of it
                theirs = {key: value for key, value in theirs.items() if key in mine}
            if mine == theirs:
                continue
            what, mine, theirs = _difference(name, mine, theirs)
            raise InputError(
                f"{folder}: this store is of another {what}: {mine!r:.70} in its header, "
                f"{theirs!r:.70} given to stage 2; {_REMEDY}, or name the store that belongs to it"
            )


def _difference(name: str, mine: Any, theirs: Any) -> tuple[str, Any, Any]:
    if name == "input":
        keys = [*mine, *theirs]
        key = next(k for k in keys if mine.get(k) != theirs.get(k))
        return f"setting {key}", mine.get(key), theirs.get(key)
    if name == "classes":
        only = [n for n in mine if n not in theirs], [n for n in theirs if n not in mine]
        return "class split (seen classes on one side only)", *only
    whats = {
        "weights": "model (checksum of the segmenter's weights)",
        "data_sets": "training set",
        "data": "training set of the same name (checksum of images and annotations)",
        "width": "embedding width",
    }
    return whats[name], mine, theirs


def segmenter_checksum(model: "PADing") -> str:
    """SHA-256 over the frozen segmenter's weights.

    Of the class head, the rows of the seen classes (by name) and of no-object count: whichever
    classes are unseen, the embeddings are the same.
    """
    split = model.split
    rows = [*sorted(split.seen, key=split.names.__getitem__), split.num_classes]
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if name.startswith(("backbone.", "sem_seg_head.")):
            value = value[rows] if name.startswith(_CLASS_HEAD) else value
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def content_checksum(content: Any) -> str:
    """SHA-256 over anything that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def shard_path(folder: str | Path, shard: int) -> Path:
    """The file of a shard."""
    return Path(folder) / f"{shard:05d}.safetensors"


def write_shard(path: Path, embeddings: Tensor, labels: Tensor, counts: Tensor) -> None:
    """Write one shard, atomically.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    tensors = {"embeddings": embeddings, "labels": labels, "counts": counts}
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            file.write(save({name: value.contiguous() for name, value in tensors.items()}))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(
            f"{path}: cannot write this shard: {error.strerror}; make room and run again"
        ) from error


class EmbeddingStore:
    """A finished store, open for reading.

    Labels and counts are held in memory (a few bytes a row), embeddings are memory-mapped.

    Attributes:
        labels: (R,) int64 in [0, K]: places in the split, K for no-object.
        no_object: K.
        starts: (items + 1,) int64: the first row of each item, and R.
        header: what it was made of.
    """

    def __init__(self, folder: str | Path, split: ClassSplit) -> None:
        """
        Args:
            folder: the store.
            split: the classes that labels are to stand for, found by name.

        Raises:
            InputError: no store, an unfinished one, a damaged shard, or a class that the split
                does not have.
        """
        self.header = Header.read(folder)
        unknown = [name for name in self.header.classes if name not in split.names]
        if unknown:
            raise InputError(
                f"{folder}: it holds embeddings of {unknown[0]!r}, which the split {split.name!r} "
                f"does not have; {_REMEDY}"
            )
        paths = [shard_path(folder, s) for s in range(len(self.header.shard_items()))]
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise InputError(
                f"{folder}: this store is unfinished, {len(missing)} of {len(paths)} shards are "
                f"missing ({missing[0]} first); run tools/store_embeddings.py again: it goes on "
                "where it stopped"
            )
        shards = [_open_shard(path, self.header.width) for path in paths]
        self._embeddings = [shard["embeddings"] for shard in shards]
        sizes = torch.tensor([0, *(len(e) for e in self._embeddings)])
        self._shard_starts = sizes.cumsum(0)
        self.no_object = split.num_classes
        place = [*map(split.names.index, self.header.classes), self.no_object]
        labels = torch.cat([shard["labels"] for shard in shards]).long()
        self.labels = torch.tensor(place)[labels]
        counts = torch.cat([shard["counts"] for shard in shards]).long()
        self.starts = torch.cat((torch.zeros(1, dtype=torch.int64), counts.cumsum(0)))

    @property
    def no_object_share(self) -> float:
        """Share of the unmatched queries that was kept, in (0, 1]."""
        return self.header.settings["NO_OBJECT_SHARE"]

    def item_rows(self, items: Tensor) -> Tensor:
        """All rows of some items (n,), in turn."""
        first = self.starts[items]
        counts = self.starts[items + 1] - first
        before = counts.cumsum(0) - counts
        return torch.arange(int(counts.sum())) + (first - before).repeat_interleave(counts)

    def embeddings(self, rows: Tensor) -> Tensor:
        """(n, C) float32 embeddings of some rows (n,); nothing else is read."""
        order = rows.argsort()
        shards = torch.bucketize(rows[order], self._shard_starts, right=True) - 1
        numbers, counts = shards.unique_consecutive(return_counts=True)
        local = (rows[order] - self._shard_starts[shards]).split(counts.tolist())
        found = torch.empty(len(rows), self.header.width)
        pieces = [self._embeddings[n][r] for n, r in zip(numbers.tolist(), local, strict=True)]
        found[order] = torch.cat(pieces).float() if pieces else found
        return found


def _open_shard(path: Path, width: int) -> dict[str, Tensor]:
    """A shard's tensors; the embeddings are mapped rather than read."""
    try:
        tensors = load_file(path)
        embeddings, labels, counts = (tensors[n] for n in ("embeddings", "labels", "counts"))
    except (OSError, safetensors.SafetensorError, KeyError) as error:
        raise InputError(
            f"{path}: a damaged shard ({error}); delete it and run tools/store_embeddings.py again"
        ) from error
    if embeddings.shape != (len(labels), width) or counts.sum() != len(labels):
        raise InputError(
            f"{path}: its tensors do not fit each other; delete it and run "
            "tools/store_embeddings.py again"
        )
    return {"embeddings": embeddings, "labels": labels.clone(), "counts": counts.clone()}
