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

Values = dict[str, dict[str, dict[str, list[float]]]]
"""Row -> what is shown -> fold -> values."""


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

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + ("" if self.half is None else f" ± {self.half:.1f}")


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


def figure_of(values: Mapping[str, Sequence[float]]) -> Figure:
    """Mean and interval.

    Args:
        values: of each fold, by seed.
    """
    means = [float(np.mean(of_fold)) for of_fold in values.values()]
    # Runs on one fold are not independent of it.
    independent = means if len(means) > 1 else next(iter(values.values()))
    n, half = len(independent), None
    if n > 1:
        spread = float(np.std(independent, ddof=1))
        half = float(stats.t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return Figure(float(np.mean(means)), half, sum(map(len, values.values())))


def by_row(found: Sequence[tuple[Cell, Mapping[str, float]]]) -> Values:
    """Row -> what is shown -> fold -> its value with each seed.

    Args:
        found: cells that are done, with what :func:`figures_of` says of them.
    """
    values: Values = {}
    for cell, figures in found:
        row = values.setdefault(cell.row.name, {})
        for label, value in figures.items():
            row.setdefault(label, {}).setdefault(cell.fold, []).append(value)
    return values


def lines_by_fold(values: Values, label: str, folds: Sequence[str]) -> list[list[str]]:
    """A line per row that has the figure: its name, and the mean over seeds on each fold."""
    return [
        [
            name,
            *(f"{np.mean(row[label][fold]):.1f}" if fold in row[label] else "" for fold in folds),
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
    table = [[name, *(str(row.get(label, "")) for label in labels)] for name, row in rows.items()]
    heads = ["", *labels]
    markdown, latex = (
        tabulate(table, heads, tablefmt=form, disable_numparse=True, colalign=_aligned(heads))
        for form in ("pipe", "latex_booktabs")
    )
    note = f"Per cent; means ± half of the 95 % interval. {len(found)} of {cells} cells."
    folds = list(dict.fromkeys(cell.fold for cell, _ in found))
    parts = [markdown, note]
    for label in labels if len(folds) > 1 else ():
        lines = lines_by_fold(values, label, folds)
        shown = ["", *folds]
        parts += [
            f"{label} by fold:",
            tabulate(
                lines, shown, tablefmt="pipe", disable_numparse=True, colalign=_aligned(shown)
            ),
        ]
    _write(folder / "table.md", "\n\n".join(parts) + "\n")
    _write(folder / "table.tex", f"% {note}\n{latex}\n")
    content: dict[str, Any] = {
        "rows": {name: {k: asdict(f) for k, f in row.items()} for name, row in rows.items()},
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


def _aligned(heads: Sequence[str]) -> list[str]:
    return ["left", *("right" for _ in heads[1:])]


def _write(path: Path, text: str) -> None:
    with writing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
