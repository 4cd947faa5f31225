"""Reading and writing of files: errors that name the file, and writes that are all or nothing."""

import gzip
import json
import os
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pading.errors import InputError

_GZIP = b"\x1f\x8b"
# Unicode's categories of control characters, surrogates, and separators of lines and paragraphs.
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


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
    """Parse a JSON file: UTF-8, UTF-16 or UTF-32, with a byte order mark or without; or gzip of it.

    Args:
        path: the file.
        remedy: what the user can do where it is missing; by default, mind the path.

    Raises:
        InputError: missing, unreadable or malformed; the message names file and place.
    """
    try:
        with open(path, "rb") as file:
            opener = gzip.open if file.read(2) == _GZIP else open
        with opener(path, "rb") as file:
            encoding = json.detect_encoding(file.read(4))
        with opener(path, "rt", encoding=encoding) as file:
            return json.load(file, parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        remedy = look_alike(path) or remedy or "give the path of a file that there is"
        raise InputError(f"{path}: there is no such file; {remedy}", "missing") from error
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not a JSON file: {error}; fetch or make it again", "corrupt"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot read this file: {error.strerror}") from error


def look_alike(path: str | Path) -> str:
    """What to do where a missing file is there under almost this name; "" if it is not.

    Args:
        path: of the missing file.
    """
    text = os.fspath(path)
    if "\\" in text:
        return "its name has the backslashes of Windows: write / between folder and file"
    if "://" in text:
        return "its name is an address: fetch the file, and name it as it is called here"
    folder, name = os.path.split(text)
    try:
        others = sorted({*os.listdir(folder or os.curdir)} - {name})  # a dangling link is there
    except OSError:
        return ""
    for other in others:
        if unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", name):
            return (
                f"the folder has it in another Unicode form ({name!a} is wanted, {other!a} there; "
                "NFC against NFD): rename one of the two"
            )
        if other.casefold() == name.casefold():
            return f"the folder has {other}: give both the same upper and lower case"
        if os.fsencode(other).decode("latin-1") == name:
            return f"the folder has it in another encoding than UTF-8 ({other!a}): rename that file"
    return ""


def printable(text: str) -> str:
    """The text on one line that any terminal and font can take: what they cannot, as an escape."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _UNPRINTABLE else c
        for c in text
    )


def is_printable(text: str) -> bool:
    """Whether it is one line without control characters and half characters (surrogates)."""
    return not any(unicodedata.category(c) in _UNPRINTABLE for c in text)


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
