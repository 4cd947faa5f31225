"""How a configuration is read: a YAML file, what it builds on, and KEY VALUE pairs."""

import ast
import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg

from pading.config.keys import add_pading_config, value_of
from pading.config.published_keys import PUBLISHED_KEYS
from pading.config.yaml_files import parse_yaml, read_yaml
from pading.errors import InputError

_PACKAGE = Path(__file__).resolve().parents[1]
# In the wheel they lie in the package, in a checkout beside it.
_CONFIGS = next(
    (p for p in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if p.is_dir()), None
)


def list_configs() -> list[str]:
    """Names of the configurations that come with pading, such as "panoptic/pretrain"."""
    if _CONFIGS is None:
        return []
    paths = sorted(_CONFIGS.rglob("*.yaml"))
    return [path.relative_to(_CONFIGS).with_suffix("").as_posix() for path in paths]


def load_config(config_file: str, overrides: Sequence[str] = ()) -> CfgNode:
    """A full configuration from a YAML file, its ``_BASE_`` files, and KEY VALUE overrides.

    Args:
        config_file: path of a YAML file, or the name of one that comes with pading
            (:func:`list_configs`); tags that would run code are refused.
        overrides: alternating keys and values, as on the command line.

    Returns:
        the configuration, not frozen.

    Raises:
        InputError: missing or malformed file; an unknown, misspelt or renamed key; a value of the
            wrong type. The message names file, key and remedy.
    """
    cfg = get_cfg()
    theirs = dict(leaves(cfg))
    add_pading_config(cfg)
    for path, settings in read_with_bases(config_file):
        given = dict(leaves(settings))
        # A run's config.yaml has every key, Detectron2's own as well, which are those of the
        # published code for some things of ours.
        whole = theirs.keys() <= given.keys()
        for key, value in given.items():
            if not (whole and key in PUBLISHED_KEYS and value == theirs.get(key)):
                _set(cfg, key, value, source=path)
    override(cfg, overrides)
    return cfg


def config_from_yaml(text: str, source: str) -> CfgNode:
    """A full configuration from the YAML that a checkpoint carries.

    Args:
        text: as ``CfgNode.dump`` writes it.
        source: where it is from, for messages.

    Raises:
        InputError: it is no such text, or has a key that we do not know.
    """
    cfg = get_cfg()
    add_pading_config(cfg)
    try:
        settings = parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError) as error:
        raise InputError(f"{source}: its configuration cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{source}: its configuration is no mapping of keys to values")
    try:
        cfg.merge_from_other_cfg(CfgNode(settings))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{source}: its configuration does not fit this version: {error}"
        ) from error
    return cfg


def override(cfg: CfgNode, overrides: Sequence[str]) -> None:
    """Set keys as the command line does, in place.

    Args:
        cfg: a configuration that is not frozen.
        overrides: alternating keys and values.

    Raises:
        InputError: see :func:`load_config`.
    """
    late = next((word for word in overrides if word.startswith("--")), None)
    if late is not None:
        raise InputError(
            f"command line: {late} must stand before the KEY VALUE pairs; move it there"
        )
    if len(overrides) % 2:
        raise InputError(
            f"command line: overrides are KEY VALUE pairs, but {overrides[-1]!r} stands alone; "
            "add its value"
        )
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        _set(cfg, key, text, source="command line")


def overridden(cfg: CfgNode, overrides: Sequence[str]) -> dict[str, Any]:
    """The keys of the command line, with the values that they have got in a configuration."""
    found = {}
    for key in overrides[::2]:
        value = value_of(cfg, key)
        found[key] = list(value) if isinstance(value, tuple) else value
    return found


def read_with_bases(path: str, seen: tuple[str, ...] = ()) -> list[tuple[str, dict[str, Any]]]:
    """The files to merge, base first; one that several files build on counts once, at its first."""
    path = config_path(path)
    real = os.path.realpath(path)
    if real in seen:
        raise InputError(f"{path}: its _BASE_ leads back to itself; remove the circle")
    try:
        settings = read_yaml(path)
    except OSError as error:
        where = f" (named as _BASE_ in {seen[-1]})" if seen else ""
        raise InputError(
            f"{path}: cannot read this configuration{where}: {error.strerror}; "
            f"give the path of a file that there is{_near(path)}"
        ) from error
    if not isinstance(settings, dict):
        raise InputError(f"{path}: expected a YAML mapping of keys to values")
    bases = settings.pop("_BASE_", [])
    chain: dict[str, dict[str, Any]] = {}
    for base in bases if isinstance(bases, list) else [bases]:
        base_path = os.path.normpath(
            os.path.join(os.path.dirname(path), os.path.expanduser(str(base)))
        )
        if not os.path.isfile(base_path) and os.path.isfile(config_path(str(base))):
            base_path = config_path(str(base))
        for name, content in read_with_bases(base_path, (*seen, real)):
            chain.setdefault(name, content)
    return [*chain.items(), (path, settings)]


def config_path(name: str) -> str:
    """The path of a configuration: a file that there is as it is, else one of ours by its name."""
    if _CONFIGS is None or os.path.isfile(name):
        return name
    ours = _CONFIGS / f"{name.removesuffix('.yaml').removeprefix('configs/')}.yaml"
    return str(ours) if ours.is_file() else name


def _near(name: str) -> str:
    close = difflib.get_close_matches(name.removesuffix(".yaml"), list_configs(), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with their sections in front, and values."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _set(cfg: CfgNode, key: str, value: Any, source: str) -> None:
    """Set a key to a value out of a file, or to a text of the command line.

    Raises:
        InputError: there is no such key, or the value is of another type than the present one.
    """
    node, name = _place(cfg, key, source)
    present = node[name]
    typed = None if value is None else _typed(value, present)
    if typed is None and present is not None:
        raise InputError(f"{source}: {key} has no value; give one such as {present!r}")
    if typed is _NO_VALUE:
        raise InputError(
            f"{source}: {key} is {_literal(value)!r}, but a {type(present).__name__} such as "
            f"{present!r} is expected"
        )
    node[name] = typed


def _place(cfg: CfgNode, key: str, source: str) -> tuple[CfgNode, str]:
    """The section of a key and its name in it."""
    if key in PUBLISHED_KEYS:
        new, note = PUBLISHED_KEYS[key]
        remedy = f"use {new}" if new else "remove it"
        raise InputError(
            f"{source}: {key} is a key of the published code; {remedy}"
            + (f" ({note})" * bool(note))
        )
    *sections, name = key.split(".")
    node = cfg
    for section in sections:
        node = node.get(section) if isinstance(node, CfgNode) else None
    if not isinstance(node, CfgNode) or name not in node:
        close = difflib.get_close_matches(key, [k for k, _ in leaves(cfg)], n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"{source}: there is no configuration key {key}{hint}")
    if isinstance(node[name], CfgNode):
        raise InputError(
            f"{source}: {key} is a section; set one of its keys, such as "
            f"{key}.{next(iter(node[name]))}"
        )
    return node, name


_NO_VALUE = object()


def _typed(value: Any, present: Any) -> Any:
    """A value in the type of the present one; _NO_VALUE where it has none there.

    Texts are read as Python's literals where the present value is no text.
    """
    if isinstance(value, str) and not isinstance(present, str):
        value = _literal(value)
    elif isinstance(value, str):
        literal = _literal(value)
        return literal if isinstance(literal, str) else value
    if value is None or present is None or type(value) is type(present):
        return value
    if isinstance(present, float) and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return _NO_VALUE
    if isinstance(present, (list, tuple)) and isinstance(value, (list, tuple)):
        return type(present)(value)
    return _NO_VALUE


def _literal(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return ast.literal_eval(text)
    # Of these, TypeError is what a list as a key of a dict gives.
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
