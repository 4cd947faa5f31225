"""One change of a right data set: of a JSON file's field or text, or of a picture."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

# What a field may be instead: nothing that could be other data of the right kind.
_VALUES: tuple[Any, ...] = (None, "x", "", -1, 10**9, 3.7, [], {}, [1], {"a": 1}, "\u0000", "é/..")


def _is_data(path: tuple) -> bool:
    """Whether any number there is right: a score, a point of an outline, a predicted box."""
    predicted = isinstance(path[0], int)
    return bool({*path} & {"score", "segmentation", *(["bbox"] if predicted else [])})


def _containers(content: Any, path: tuple = ()) -> Iterator[tuple[Any, Any, tuple]]:
    """Every (container, key, path) of a JSON file's content."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(items):
        yield content, key, (*path, key)
        if isinstance(value, dict | list):
            yield from _containers(value, (*path, key))


def _lists(content: Any) -> Iterator[list]:
    if isinstance(content, list) and content and isinstance(content[0], dict):
        yield content
    for value in content.values() if isinstance(content, dict) else content:
        if isinstance(value, dict | list):
            yield from _lists(value)


def _set(place: int, value: Any) -> Callable[[Any], None]:
    """Put something else in a place; as text or float the number that was there."""

    def change(content: Any) -> None:
        places = list(_containers(content))
        container, key, path = places[place % len(places)]
        old = container[key]
        number = isinstance(old, int | float) and not isinstance(old, bool)
        if value == "as text":
            container[key] = str(old)
        elif value == "as float":
            container[key] = float(old) if number else [old]
        elif value == "in a list":
            container[key] = [old]
        elif not (number and isinstance(value, int | float) and _is_data(path)):
            container[key] = value

    return change


def _drop(place: int) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        places = [p for p in _containers(content) if isinstance(p[0], dict)]
        container, key, _ = places[place % len(places)]
        del container[key]

    return change


def _more(place: int) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        places = [p[0] for p in _containers(content) if isinstance(p[0], dict)]
        places[place % len(places)]["a key of ours"] = place

    return change


def _reorder(place: int) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        lists = list(_lists(content))
        lists[place % len(lists)].reverse()

    return change


def _keys_reversed(_: int) -> Callable[[Any], None]:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(v) for v in value] if isinstance(value, list) else value

    def change(content: Any) -> None:
        found = turned(content)
        content.clear()
        (content.update if isinstance(content, dict) else content.extend)(found)

    return change


_OF_CONTENT = (
    *(lambda place, v=v: _set(place, v) for v in _VALUES),
    *(lambda place, v=v: _set(place, v) for v in ("as text", "as float", "in a list")),
    *(_drop, _drop, _drop, _more, _reorder, _reorder, _keys_reversed),
)
_OF_TEXT: tuple[Callable[[bytes], bytes], ...] = (
    lambda text: b"\xef\xbb\xbf" + text,
    lambda text: text.decode().encode("utf-16"),
    lambda text: text.decode().encode("utf-16-be"),
    lambda text: text.decode().encode("utf-32"),
    gzip.compress,
    lambda text: text[: len(text) // 2],
    lambda text: text + b"}",
    lambda text: b"",
    lambda text: b"null",
    lambda text: b"[" + text + b"]",
    lambda text: json.dumps(json.loads(text), indent=2).replace("\n", "\r\n").encode(),
    lambda text: text.replace(b'"name"', b'"Name"'),
)


def json_changes(names: tuple[str, ...]) -> st.SearchStrategy:
    """(file, what is done to it, where) of JSON files; :func:`apply_json` does it."""
    operations = st.integers(0, len(_OF_CONTENT) + len(_OF_TEXT) // 2 - 1)
    return st.tuples(st.sampled_from(names), operations, st.integers(0, 10**6))


def apply_json(root: Path, change: tuple[str, int, int]) -> None:
    """Change a JSON file in place."""
    name, operation, place = change
    path = root / name
    if operation < len(_OF_CONTENT):
        content = json.loads(path.read_text())
        _OF_CONTENT[operation](place)(content)
        path.write_text(json.dumps(content))
    else:
        path.write_bytes(_OF_TEXT[place % len(_OF_TEXT)](path.read_bytes()))


def _saved(mode: str = "", kind: str = "PNG", size: int = 0, **options: Any) -> Callable:
    def change(path: Path) -> None:
        image = Image.open(path)
        image.load()
        if size:
            image = image.resize((image.width + size, image.height), Image.Resampling.NEAREST)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16))
        elif mode == "same values":
            if image.mode == "L":
                image = Image.fromarray(np.asarray(image), mode="P")
                image.putpalette([v for i in range(256) for v in (255 - i, i, 7 * i % 256)])
        elif mode:
            image = image.convert(mode)
        image.save(path, format=kind, **options)

    return change


def _renamed(suffix: str) -> Callable[[Path], None]:
    return lambda path: path.rename(path.with_suffix(suffix)) and None


def _moved(path: Path) -> None:
    (path.parent / "below").mkdir()
    path.rename(path.parent / "below" / path.name)


def _turned(path: Path) -> None:
    image = Image.open(path)
    image.load()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, format="PNG", exif=exif)


_OF_PICTURES: tuple[tuple[str, Callable[[Path], Any]], ...] = (
    *((mode, _saved(mode)) for mode in ("L", "RGB", "RGBA", "LA", "P", "1", "I;16", "same values")),
    ("JPEG", _saved("RGB", "JPEG")),
    ("grey JPEG", _saved("L", "JPEG")),
    ("GIF", _saved("L", "GIF")),
    ("TIFF", _saved("", "TIFF")),
    ("wider", _saved(size=1)),
    ("optimised", _saved(optimize=True)),
    ("upper-case extension", _renamed(".PNG")),
    ("other extension", _renamed(".bmp")),
    ("below a folder", _moved),
    ("turned by EXIF", _turned),
    ("cut short", lambda path: path.write_bytes(path.read_bytes()[:-30])),
    ("begun", lambda path: path.write_bytes(path.read_bytes()[:40])),
    ("empty", lambda path: path.write_bytes(b"")),
    ("text", lambda path: path.write_text("no picture")),
    ("gone", lambda path: path.unlink()),
    ("a folder", lambda path: (path.unlink(), path.mkdir())),
    ("a hidden one beside", lambda path: (path.parent / f".{path.name}").write_bytes(b"")),
    ("a note beside", lambda path: (path.parent / "Thumbs.db").write_bytes(b"")),
)


def picture_changes(names: tuple[str, ...]) -> st.SearchStrategy:
    """(file, what is done to it) of pictures; :func:`apply_picture` does it."""
    return st.tuples(st.sampled_from(names), st.sampled_from([what for what, _ in _OF_PICTURES]))


def apply_picture(root: Path, change: tuple[str, str]) -> None:
    """Change a picture in place."""
    dict(_OF_PICTURES)[change[1]](root / change[0])
