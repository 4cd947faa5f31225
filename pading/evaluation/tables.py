"""Scores as people read them: aligned tables."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from pading.evaluation.groups import GROUPS, Scores


def group_table(scores: Scores) -> str:
    """A table of one task: a row per group, a column per metric, per cent with one digit."""
    return comparison_table({"": scores})


def comparison_table(runs: Mapping[str, Scores], groups: Sequence[str] = GROUPS) -> str:
    """The same table for several runs of one task, their columns side by side.

    Args:
        runs: heading (such as "before stage 2") -> scores.
        groups: rows to show; those that no run has are left out.
    """
    tables = {heading: scores.groups for heading, scores in runs.items()}
    columns = [
        (heading, label)
        for heading, table in tables.items()
        for label in dict.fromkeys(label for values in table.values() for label in values)
    ]
    rows = [
        [group, *(_cell(tables[heading].get(group, {}).get(label)) for heading, label in columns)]
        for group in groups
        if any(group in table for table in tables.values())
    ]
    headers = ["%"]
    for (heading, label), previous in zip(columns, ["", *(h for h, _ in columns)], strict=False):
        headers.append(f"{heading if heading != previous else ''}\n{label}" if any(runs) else label)
    return _table(rows, headers)


def class_table(scores: Scores, only_scored: bool = True) -> str:
    """A row per class: seen or unseen, and its figures.

    Args:
        scores: of one task.
        only_scored: leave out the classes without a figure (no ground truth, no prediction).
    """
    rows = []
    columns: dict[str, None] = {}
    for name, values in scores.per_class.items():
        figures = {key: value for key, value in values.items() if key != "seen"}
        columns.update(dict.fromkeys(figures))
        if only_scored and any(_is_nan(value) for value in figures.values()):
            continue
        cells = (_cell(value) for value in figures.values())
        rows.append([name, "seen" if values["seen"] else "unseen", *cells])
    return _table(rows, ["class", "", *columns])


def without_nan(content: Any) -> Any:
    """``content`` for a JSON file, which knows no NaN: None in its place."""
    if isinstance(content, Mapping):
        return {key: without_nan(value) for key, value in content.items()}
    return None if _is_nan(content) else content


def _table(rows: list[list[Any]], headers: list[str]) -> str:
    return tabulate(rows, headers, tablefmt="simple", stralign="right", disable_numparse=True)


def _cell(value: float | int | None) -> str:
    if value is None:
        return ""
    if _is_nan(value):
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
