"""What a configuration key is: name, default, what its value must be, and what it is for."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What a value must be."""

    holds: Callable[[Any], bool]
    wanted: str
    """In words, behind "it must be"."""


class _Theirs:
    """Stands for Detectron2's own default."""


THEIRS = _Theirs()


@dataclass(frozen=True)
class Key:
    """One configuration key, declared once.

    Args:
        name: with its sections, such as "SOLVER.BASE_LR".
        default: its value where nothing else is said; THEIRS: that of Detectron2, whose key it is.
        rule: what a value must be.
        comment: what it is for, for the reference page.
    """

    name: str
    default: Any
    rule: Rule
    comment: str


def is_number(value: object) -> bool:
    """Whether it is a finite int or float (a bool is none)."""
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def at_least(least: float) -> Rule:
    """A number from ``least`` on."""
    return Rule(lambda v: is_number(v) and v >= least, f"at least {least}")


def one_of(*choices: object) -> Rule:
    """One of some values."""
    return Rule(lambda v: v in choices, f"one of {', '.join(map(repr, choices))}")


def list_of(rule: Rule, least: int = 1) -> Rule:
    """A list of ``least`` values or more, for each of which a rule holds."""
    length = f"{least} or more" if least else "any number of"
    return Rule(
        lambda v: isinstance(v, (list, tuple)) and len(v) >= least and all(map(rule.holds, v)),
        f"a list of {length} values, each {rule.wanted}",
    )


def _three(value: Any, least: float = -math.inf) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 3
        and all(is_number(v) and v > least for v in value)
    )


ANY = Rule(lambda v: True, "of the type of the default")
COUNT = at_least(1)
NOT_NEGATIVE = at_least(0)
POSITIVE = Rule(lambda v: is_number(v) and v > 0, "above 0")
SHARE = Rule(lambda v: is_number(v) and 0 <= v <= 1, "from 0 to 1")
KEPT_SHARE = Rule(lambda v: is_number(v) and 0 < v <= 1, "more than 0, at most 1")
DROPOUT = Rule(lambda v: is_number(v) and 0 <= v < 1, "at least 0 and below 1")
CHANCE = Rule(lambda v: is_number(v) and 0 < v < 1, "between 0 and 1")
TEXT = Rule(lambda v: isinstance(v, str) and bool(v.strip()), "a text that is not empty")
CHANNELS = Rule(_three, "3 numbers, one per channel")
STATISTICS = Rule(lambda v: _three(v, 0), "3 numbers above 0")
ASCENDING = Rule(
    lambda v: list_of(COUNT, 0).holds(v) and list(v) == sorted({*v}),
    "iterations in ascending order",
)
NORM_TYPE = Rule(lambda v: v == math.inf or is_number(v) and v > 0, "above 0")
METRIC = Rule(
    lambda v: not v or v.count("/") == 1,
    "a task and a figure, such as 'panoptic_seg/PQ', or ''",
)
NEVER = Rule(lambda v: not v, "False (see INPUT.AUGMENTATION)")
