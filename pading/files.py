"""Reading and writing of files: errors that name the file, and writes that are all or nothing."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pading.errors import InputError


@contextmanager
def replacing(path: str | Path) -> Iterator[str]:
    """Give a temporary path in ``path``'s folder, and move it to ``path`` when the block succeeds.

    The folder is made where missing. A block that raises leaves ``path`` as it was and no
    temporary file; one that is killed leaves a ``.partial`` file that nobody reads. The temporary
    name keeps the extension, which image writers go by.

    Raises:
        InputError: the folder cannot be made.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{target.parent}: cannot make this folder to write to: {error.strerror}"
        ) from error
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
    try:
        yield str(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: str | Path) -> Iterator[str]:
    """:func:`replacing`, for a block that does nothing but write.

    Raises:
        InputError: the folder cannot be made, or the file cannot be written, as on a full disk.
    """
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise InputError(
            f"{path}: cannot write this file: {error.strerror or error}; "
            "make room or mind the permissions there, or name another place"
        ) from error


def read_json(path: str | Path, remedy: str = "") -> Any:
    """Parse a JSON file.

    Args:
        path: the file.
        remedy: what the user can do where it is missing; by default, mind the path.

    Raises:
        InputError: missing, unreadable or malformed; the message names file and place.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file, parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        remedy = remedy or "give the path of a file that there is"
        raise InputError(f"{path}: there is no such file; {remedy}", "missing") from error
    except OSError as error:
        raise InputError(f"{path}: cannot read this file: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # among them those of encoding and JSON
        raise InputError(
            f"{path}: not a JSON file: {error}; fetch or make it again", "corrupt"
        ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def write_json(path: str | Path, content: Any, indent: int | None = None) -> None:
    """Write ``content`` as JSON, atomically.

    Raises:
        InputError: as :func:`writing`.
    """
    with writing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        # In one piece: what json.dump writes piece by piece does not come from its C encoder.
        file.write(json.dumps(content, indent=indent))


def field(entry: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """``entry[key]``, checked to exist and to be of the wanted kind (a bool is no int).

    Args:
        entry: a mapping out of a user's file.
        key: the wanted key.
        kind: what the value must be an instance of.
        where: names file and entry in the error.

    Raises:
        InputError: no mapping, no such key, or another kind.
    """
    if isinstance(entry, dict) and key in entry:
        value = entry[key]
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
    names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object with {key!r}, found {entry!r:.80}")
    if key not in entry:
        raise InputError(f"{where}: {key!r} ({names}) is missing")
    raise InputError(f"{where}: {key!r} must be {names}, not {entry[key]!r:.80}")
