"""A folder of label maps, and a list of what their values are called."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from pading.data.entry_files import list_folder
from pading.data.formats.collected import Collected, ImageFolder
from pading.errors import InputError
from pading.files import read_json

_FORMAT = "label maps"
NAME_FILES = ("classes.txt", "names.txt", "labels.txt", "codes.txt", "classes.json", "names.json")
"""Lists of names that are found beside label maps."""
_IGNORED = {"unlabelled", "unlabeled", "void", "ignore", "ignored", "background", "unknown"}
# "3 road", "3: road", "3,road", "road"; a hash begins a comment.
_LINE = re.compile(r"\s*(?:(\d+)\s*[:;,\t ]\s*)?(.+?)\s*")


def read_label_maps(folder: Path, images: Path | None, names: Path | None) -> dict[str, Collected]:
    """The label maps of a folder, each named as its image is.

    Args:
        folder: of PNGs of one channel.
        images: folder of the images.
        names: a list of the values' names; by default one of NAME_FILES in the folder or above.

    Raises:
        InputError: no images or names are given.
    """
    if images is None:
        raise InputError(f"{folder}: where are the images of these label maps? give --images")
    given = names or next(
        (place / name for place in (folder, folder.parent) for name in NAME_FILES
         if (place / name).is_file()),
        None,
    )  # fmt: skip
    if given is None:
        raise InputError(
            f"{folder}: what are the values of these label maps called? give --names FILE, with a "
            "line such as '0 sky' for each"
        )
    values, ignored = read_names(given)
    maps = sorted(
        Path(name).stem
        for name in list_folder(str(folder))
        if name.lower().endswith(".png") and not name.startswith(".")
    )
    return {"train": maps_of(_FORMAT, folder, ImageFolder(images), maps, values, ignored)}


def maps_of(
    kind: str,
    folder: Path,
    images: ImageFolder,
    maps: Sequence[str],
    values: dict[int, str],
    ignored: tuple[int, ...],
) -> Collected:
    """Label maps as they have been found.

    Args:
        kind: of annotations, for people.
        folder: of the maps.
        images: their images.
        maps: their names, without extension.
        values: value of a pixel -> class.
        ignored: values that are no class.
    """
    return Collected(
        kind,
        "semantic",
        str(folder),
        images.folder,
        {
            "images": [{"id": stem, "file_name": stem} for stem in maps],
            "categories": [{"id": v, "name": name, "isthing": 0} for v, name in values.items()],
        },
        labels=str(folder),
        ignored=ignored,
    )


def read_names(path: Path) -> tuple[dict[int, str], tuple[int, ...]]:
    """What the values of label maps are called, and which of them are no class.

    Args:
        path: a text file of a name a line, in the order of the values from 0 on or with the value
            in front; or JSON: a list of names, or an object of names by value.

    Raises:
        InputError: it cannot be read, a value or a name twice, or no class.
    """
    values: dict[int, str] = {}
    for number, (value, name) in enumerate(_named(path)):
        where = f"{path}: entry {number} (counted from 0)"
        if value in values:
            raise InputError(f"{where}: the value {value} is {values[value]!r} already")
        if name in values.values():
            raise InputError(f"{where}: the name {name!r} occurs twice; give every class its own")
        values[value] = name
    ignored = tuple(value for value, name in values.items() if name.lower() in _IGNORED)
    found = {value: name for value, name in values.items() if value not in ignored}
    if not found:
        raise InputError(f"{path}: names no class; write one a line", "empty")
    return found, ignored


def _named(path: Path) -> list[tuple[int, str]]:
    if path.suffix == ".json":
        content = read_json(path)
        try:
            pairs = list(enumerate(content)) if isinstance(content, list) else content.items()
            return [(int(value), str(name).strip()) for value, name in pairs]
        except (AttributeError, ValueError) as error:
            raise InputError(
                f"{path}: expected a list of names, or an object of names by value"
            ) from error
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read this list of names ({error})", "missing") from error
    matches = [_LINE.fullmatch(line) for line in lines if line.strip() and line.lstrip()[0] != "#"]
    parts = [(match[1], match[2]) for match in matches if match]
    if any(value is not None for value, _ in parts) and any(value is None for value, _ in parts):
        raise InputError(
            f"{path}: give the value of every name, or of none: {os.path.basename(path)}"
        )
    return [(n if value is None else int(value), name) for n, (value, name) in enumerate(parts)]
