"""A benchmark's table: means with 95 % intervals, as JSON, Markdown, LaTeX and a figure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from tabulate import tabulate

from pading.bench.plan import Cell
from pading.evaluation.groups import Scores
from pading.evaluation.tables import without_nan
from pading.files import read_json, write_json, writing
from pading.visualize.interval_bars import draw_bars

SHOWN = {"panoptic_seg": "PQ", "segm": "AP50", "sem_seg": "mIoU", "fold_seg": "mIoU"}
"""Task -> what is shown of it."""
_GROUPS = ("seen", "unseen", "harmonic")

ByFold = Mapping[str, Mapping[int, float]]
"""Fold -> seed -> value."""
Values = dict[str, dict[str, dict[str, dict[int, float]]]]
"""Row -> what is shown -> fold -> seed -> value."""


@dataclass(frozen=True)
class Figure:
    """Per cent.

    Args:
        mean: over folds of the means over seeds.
        half: of the 95 % interval (Student's t) over folds, or over seeds where there is one fold;
            None of one run.
        runs: how many.
    """

    mean: float
    half: float | None
    runs: int

    def __format__(self, form: str) -> str:
        """The mean in a format of numbers, and half of the interval."""
        half = "" if self.half is None else f" ± {self.half:.1f}"
        return f"{self.mean:{form or '.1f'}}{half}"


def figures_of(path: Path) -> dict[str, float]:
    """ "PQ seen" and the like of a file of scores; what is no number is left out."""
    report = read_json(path)
    found = {}
    for task in report["metrics"]:
        scores, label = Scores.from_report(task, report), SHOWN.get(task, "")
        for group in _GROUPS if "unseen" in scores.groups else ("all",):
            value = scores.groups.get(group, {}).get(label, math.nan)
            if not math.isnan(value):
                found[f"{label} {group}"] = value
    return found


def figure_of(values: ByFold) -> Figure:
    """Mean and interval."""
    means = [_mean(of_fold) for of_fold in values.values()]
    # Runs on one fold are not independent of it.
    independent = means if len(means) > 1 else list(next(iter(values.values())).values())
    n, half = len(independent), None
    if n > 1:
        spread = float(np.std(independent, ddof=1))
        half = float(stats.t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return Figure(float(np.mean(means)), half, sum(map(len, values.values())))


def difference(values: ByFold, first: ByFold) -> Figure | None:
    """A row less the first one, fold by fold, or seed by seed where they share one fold.

    Some folds are harder for every row, so the interval of differences may be far narrower than
    that of either row. None where the two share no fold, or one but no seed.
    """
    folds = [fold for fold in values if fold in first]
    if len(folds) > 1:
        return figure_of({fold: {0: _mean(values[fold]) - _mean(first[fold])} for fold in folds})
    pairs = {
        seed: value - first[fold][seed]
        for fold in folds
        for seed, value in values[fold].items()
        if seed in first[fold]
    }
    return figure_of({"": pairs}) if pairs else None


def by_row(found: Sequence[tuple[Cell, Mapping[str, float]]]) -> Values:
    """Row -> what is shown -> fold -> its value with each seed.

    Args:
        found: cells that are done, with what :func:`figures_of` says of them.
    """
    values: Values = {}
    for cell, figures in found:
        row = values.setdefault(cell.row.name, {})
        for label, value in figures.items():
            row.setdefault(label, {}).setdefault(cell.fold, {})[cell.seed] = value
    return values


def lines_by_fold(values: Values, label: str, folds: Sequence[str]) -> list[list[str]]:
    """A line per row that has the figure: its name, and the mean over seeds on each fold."""
    return [
        [
            name,
            *(f"{_mean(row[label][fold]):.1f}" if fold in row[label] else "" for fold in folds),
        ]
        for name, row in values.items()
        if label in row
    ]


def write_summary(folder: Path, title: str, found: Sequence[tuple[Cell, Path]], cells: int) -> str:
    """Write results.json, table.md, table.tex and table.png; the Markdown's table.

    Args:
        folder: gets them.
        title: of the picture.
        found: cells that are done, with their files of scores.
        cells: how many there will be.
    """
    figures = [figures_of(path) for _, path in found]
    values = by_row([(cell, of_it) for (cell, _), of_it in zip(found, figures, strict=True)])
    rows = {
        name: {label: figure_of(folds) for label, folds in row.items()}
        for name, row in values.items()
    }
    labels = list(dict.fromkeys(label for row in rows.values() for label in row))
    table = _table(rows, labels)
    latex = _tabulated(table, ["", *labels], "latex_booktabs")
    markdown = _tabulated(table, ["", *labels])
    note = f"Per cent; means ± half of the 95 % interval. {len(found)} of {cells} cells."
    first, *others = values
    less = {
        name: {
            label: figure
            for label, of_first in values[first].items()
            if label in values[name] and (figure := difference(values[name][label], of_first))
        }
        for name in others
    }
    parts = [markdown, note]
    if less:
        parts += [
            f"Less those of {first}, fold by fold (of one fold, seed by seed):",
            _tabulated(_table(less, labels, "+.1f"), ["", *labels]),
        ]
    folds = list(dict.fromkeys(cell.fold for cell, _ in found))
    for label in labels if len(folds) > 1 else ():
        lines = lines_by_fold(values, label, folds)
        parts += [f"{label} by fold:", _tabulated(lines, ["", *folds])]
    _write(folder / "table.md", "\n\n".join(parts) + "\n")
    _write(folder / "table.tex", f"% {note}\n{latex}\n")
    content: dict[str, Any] = {
        "rows": _written(rows),
        "differences": _written(less),
        "cells": [
            {
                "row": cell.row.name,
                "fold": cell.fold,
                "seed": cell.seed,
                "scores": str(path),
                "figures": of_it,
            }
            for (cell, path), of_it in zip(found, figures, strict=True)
        ],
    }
    write_json(folder / "results.json", without_nan(content), indent=1)
    bars = {name: {k: (f.mean, f.half) for k, f in row.items()} for name, row in rows.items()}
    draw_bars(bars, title, folder / "table.png")
    return markdown


def _mean(values: Mapping[int, float]) -> float:
    return float(np.mean(list(values.values())))


def _written(rows: Mapping[str, Mapping[str, Figure]]) -> dict[str, Any]:
    return {name: {label: asdict(f) for label, f in row.items()} for name, row in rows.items()}


def _table(
    rows: Mapping[str, Mapping[str, Figure]], labels: Sequence[str], form: str = ".1f"
) -> list[list[str]]:
    return [
        [name, *(format(row[label], form) if label in row else "" for label in labels)]
        for name, row in rows.items()
    ]


def _tabulated(table: list[list[str]], heads: Sequence[str], form: str = "pipe") -> str:
    aligned = ["left", *("right" for _ in heads[1:])]
    return tabulate(table, heads, tablefmt=form, disable_numparse=True, colalign=aligned)


def _write(path: Path, text: str) -> None:
    with writing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
