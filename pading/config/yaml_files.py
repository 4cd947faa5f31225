"""Plain YAML files: no tags that run code, no key twice, no endless aliases."""

import os
from typing import Any

import yaml

from pading.errors import InputError

_MOST_VALUES = 100_000
_WIDE = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """The content of a plain YAML (or JSON) file: no tags that run code, no key twice.

    Raises:
        OSError: it cannot be read.
        InputError: it is not such a file.
    """
    with open(path, "rb") as file:
        raw = file.read()
    if raw[:2] in _WIDE:
        raise InputError(f"{path}: written in {_WIDE[raw[:2]]}; save it as UTF-8")
    try:
        # Windows editors put a mark of the byte order in front.
        return parse_yaml(raw.decode("utf-8-sig"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a plain YAML file: {error}; correct it there") from error


def parse_yaml(text: str) -> Any:
    """The content of a plain YAML text.

    Raises:
        yaml.YAMLError, ValueError, RecursionError: it is none.
    """
    content = _PlainLoader(text).get_single_data()
    _check_extent(content)
    return content


def flat_line(key: str, value: Any) -> str:
    """One line of a YAML file, with the whole name of a key in front."""
    text = yaml.safe_dump([value], default_flow_style=True, width=1000).strip()
    return f"{key}: {text[1:-1]}"


def _check_extent(content: Any) -> None:
    """Refuse what aliases have put into itself, or blown up."""
    waiting, met = [content], 0
    while waiting:
        value = waiting.pop()
        met += 1
        if met > _MOST_VALUES:
            raise ValueError(f"it has more than {_MOST_VALUES} values, or no end")
        if isinstance(value, (dict, list)):
            waiting.extend(value.values() if isinstance(value, dict) else value)


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader, which runs no code, without its silent choice of the last of equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        met: set[str] = set()
        for key in keys:
            if key.value in met:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} occurs twice", key.start_mark
                )
            met.add(key.value)
        return super().construct_mapping(node, deep)
