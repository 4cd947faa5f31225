"""What a folder of prepared label maps holds: of which classes, and what each was made from."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pading.errors import InputError
from pading.files import field, read_json, write_json
from pading.vocabulary.splits import ClassSplit

_KEYS = {"values", "sources"}


@dataclass(frozen=True)
class MapManifest:
    """The file FOLDER.json beside a folder of prepared maps.

    Args:
        folder: of the maps.
        values: the class id that each value of the maps stands for; empty where they are no places
            in a split.
        sources: group, such as the maps of a subset -> name of a map below the folder -> digest of
            what it was made from.
    """

    folder: str
    values: tuple[int, ...]
    sources: Mapping[str, Mapping[str, str]]

    @property
    def maps(self) -> dict[str, str]:
        """The digests of all maps."""
        return {name: digest for group in self.sources.values() for name, digest in group.items()}

    def check(self, split: ClassSplit) -> None:
        """Refuse a split in which the values mean other classes; it may have more of them.

        Raises:
            InputError: names the folder.
        """
        ids = tuple(info.id for info in split.classes)
        if ids[: len(self.values)] != self.values:
            raise InputError(
                f"{self.folder}: these label maps were prepared for other classes than the split "
                f"{split.name!r} has, or for another order of them; prepare them again"
            )

    def write(self) -> None:
        """Write it."""
        write_json(_path(self.folder), {"values": self.values, "sources": self.sources})


def read_manifest(folder: str | Path) -> MapManifest | None:
    """The manifest of a folder; None where there is none, as of maps that were not prepared here.

    Raises:
        InputError: it is no JSON file.
    """
    path = _path(folder)
    content = read_json(path) if path.is_file() else None
    if not isinstance(content, dict) or content.keys() != _KEYS:
        return None  # another file of that name
    values = field(content, "values", list, str(path))
    return MapManifest(str(folder), tuple(values), field(content, "sources", dict, str(path)))


def _path(folder: str | Path) -> Path:
    return Path(f"{Path(folder)}.json")


def check_maps(
    folder: str, split: ClassSplit, names: Iterable[str], on_error: Callable[[InputError], None]
) -> None:
    """Check label maps against what the preparation that made them has left in their folder.

    Args:
        folder: of the maps.
        split: the classes that their values are taken for.
        names: those that are going to be used.
        on_error: gets what of an earlier preparation is left.

    Raises:
        InputError: they were prepared for another split.
    """
    manifest = read_manifest(folder)
    if manifest is None or not manifest.values:
        return
    manifest.check(split)
    known = manifest.maps
    for name in names:
        if name not in known:
            on_error(
                InputError(
                    f"{os.path.join(folder, name)}: is not of the preparation that made the other "
                    "label maps here; remove it, or prepare them again"
                )
            )


def source_digest(entry: Mapping[str, Any]) -> str:
    """A digest of what an entry's label map is made from: the file, and what its values mean.

    Raises:
        InputError: the file cannot be read.
    """
    path = entry.get("sem_seg_file_name") or entry.get("pan_seg_file_name")
    try:
        content = Path(path).read_bytes() if path else b""
    except OSError as error:
        raise InputError(f"{path}: cannot read this file: {error.strerror}", "missing") from error
    meaning = {
        key: value.hex() if isinstance(value, bytes) else value
        for key, value in entry.items()
        if key not in ("file_name", "sem_seg_file_name", "pan_seg_file_name")
    }
    text = json.dumps(meaning, sort_keys=True, default=str)
    return hashlib.sha256(content + text.encode()).hexdigest()[:32]
