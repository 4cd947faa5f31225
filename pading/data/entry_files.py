"""Entries of a data set one by one, and the folders that their files must be in."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from pading.errors import InputError
from pading.files import look_alike

Entry = dict[str, Any]
OnError = Callable[[InputError], None]
_T = TypeVar("_T")


def raise_error(error: InputError) -> None:
    """The strict ``on_error``."""
    raise error


def each(items: Iterable[Any], parse: Callable[[int, Any], _T], on_error: OnError) -> Iterator[_T]:
    """What ``parse`` makes of each number and item; what it refuses goes to ``on_error``."""
    for number, item in enumerate(items):
        try:
            parsed = parse(number, item)
        except InputError as error:
            on_error(error)
        else:
            yield parsed


def with_files(entries: list[Entry], source: str, on_error: OnError) -> list[Entry]:
    """The entries whose files exist, by one listing per folder rather than a call per file."""
    listings: dict[str, set[str]] = {}

    def require(_: int, entry: Entry) -> Entry:
        for path in (entry["file_name"], entry.get("pan_seg_file_name")):
            if path is None:
                continue
            folder, name = os.path.split(path)
            if folder not in listings:
                listings[folder] = list_folder(folder)
            if name not in listings[folder]:
                remedy = look_alike(path) or (
                    "complete the folder, or leave the image out of the annotations"
                )
                raise InputError(
                    f"{path}: there is no such file, but {source} names it; {remedy}", "missing"
                )
        return entry

    return list(each(entries, require, on_error))


def stem_of(name: str) -> str:
    """A file's path without its extension: what an image and its label map have in common."""
    return os.path.splitext(name)[0]


def list_tree(folder: str) -> list[str]:
    """The files in a folder and the folders in it, sorted, by their paths below it.

    Hidden files and folders are none of a data set's; a killed preparation may have left one.

    Raises:
        InputError: it cannot be listed.
    """
    list_folder(folder)  # which says why it cannot be
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(path, name) for name in files if not name.startswith(".")]
    return sorted(os.path.relpath(path, folder) for path in found)


def list_folder(folder: str) -> set[str]:
    """The names in a folder.

    Raises:
        InputError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except OSError as error:
        raise InputError(
            f"{folder}: cannot list this folder: {error.strerror}", "missing"
        ) from error
