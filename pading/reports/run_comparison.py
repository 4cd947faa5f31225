"""Runs beside each other: their figures, differences, and intervals over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from pading.errors import InputError
from pading.evaluation.groups import GROUPS, Scores
from pading.reports.stored_results import StoredRun

MAIN_METRIC = {
    "panoptic_seg": "PQ",
    "sem_seg": "mIoU",
    "segm": "AP50",
    "bbox": "AP50",
    "fold_seg": "mIoU",
}
"""The figure of each task that stands for it."""
# What may differ between runs that are one but for their seeds.
_OF_A_RUN = (("SEED",), ("OUTPUT_DIR",), ("MODEL", "WEIGHTS"))


@dataclass(frozen=True)
class Cell:
    """A figure in per cent and its difference to that of the first run; NaN where there is none."""

    value: float
    difference: float = math.nan
    interval: float = math.nan
    """Half of the 95 % interval of a mean over seeds."""


@dataclass(frozen=True)
class Column:
    """A run, or the mean of several that differ in their seeds alone."""

    heading: str
    runs: tuple[int, ...]
    """Places in the list of runs."""


def columns_of(runs: Sequence[StoredRun]) -> list[Column]:
    """A column for each run, and behind them one for each set of runs with different seeds."""
    columns = [Column(run.name, (place,)) for place, run in enumerate(runs)]
    alike: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        if run.configuration:
            alike.setdefault(repr(_without_seed(run.configuration)), []).append(place)
    for places in alike.values():
        seeds = {runs[place].seed for place in places}
        if len(places) > 1 and len(seeds) == len(places):
            columns.append(Column(f"mean of {len(places)} seeds", tuple(places)))
    return columns


def check_comparable(runs: Sequence[StoredRun]) -> list[str]:
    """The data sets that all runs were scored on.

    Raises:
        InputError: there is none, or a class split differs.
    """
    first = runs[0]
    for run in runs[1:]:
        for dataset in first.results.keys() & run.results.keys():
            ours, theirs = first.results[dataset], run.results[dataset]
            if ours.split != theirs.split or _names(ours.scores) != _names(theirs.scores):
                raise InputError(
                    f"{run.path}: its results on {dataset} are of the split {theirs.split!r} "
                    f"({_size(theirs.scores)} classes), those of {first.path} of {ours.split!r} "
                    f"({_size(ours.scores)}); compare runs of the same classes"
                )
    shared = [d for d in first.results if all(d in run.results for run in runs)]
    if not shared:
        where = "; ".join(f"{run.path}: {', '.join(run.results)}" for run in runs)
        raise InputError(f"no data set that all runs were scored on ({where}); score them on one")
    return shared


def _names(scores: dict[str, Scores]) -> set[tuple[str, bool]]:
    return {(n, bool(row["seen"])) for s in scores.values() for n, row in s.per_class.items()}


def _size(scores: dict[str, Scores]) -> int:
    return len(_names(scores))


def group_rows(
    runs: Sequence[StoredRun], columns: Sequence[Column], dataset: str, task: str
) -> list[tuple[str, list[Cell]]]:
    """Group of classes -> a cell per column, of the task's main figure."""
    metric = MAIN_METRIC.get(task, "")
    values = {
        group: [_figure(run, dataset, task, group, metric) for run in runs] for group in GROUPS
    }
    return [
        (group, [_cell(values[group], column) for column in columns])
        for group in ("seen", "unseen", "harmonic", "all", "things", "stuff")
        if not all(map(math.isnan, values[group]))
    ]


def class_rows(
    runs: Sequence[StoredRun], columns: Sequence[Column], dataset: str, task: str
) -> list[dict[str, Any]]:
    """Of every class with a figure: name, whether it is seen, cells, counts of the first run."""
    key = {"mIoU": "iou"}.get(MAIN_METRIC.get(task, ""), MAIN_METRIC.get(task, "").lower())
    scores = [run.results[dataset].scores.get(task) for run in runs]
    rows = []
    for name, values in next(s for s in scores if s).per_class.items():
        figures = [s.per_class.get(name, {}).get(key, math.nan) if s else math.nan for s in scores]
        if all(map(math.isnan, figures)):
            continue
        counts = {k: v for k, v in values.items() if isinstance(v, int) and k != "seen"}
        cells = [_cell(figures, column) for column in columns]
        rows.append({"name": name, "seen": values["seen"], "cells": cells, "counts": counts})
    return rows


def _figure(run: StoredRun, dataset: str, task: str, group: str, metric: str) -> float:
    scores = run.results[dataset].scores.get(task)
    return scores.groups.get(group, {}).get(metric, math.nan) if scores else math.nan


def _cell(values: Sequence[float], column: Column) -> Cell:
    chosen = np.array([values[place] for place in column.runs], dtype=np.float64)
    if len(chosen) == 1:
        difference = math.nan if column.runs == (0,) else float(chosen[0] - values[0])
        return Cell(float(chosen[0]), difference)
    if np.isnan(chosen).any():
        return Cell(math.nan)
    spread = chosen.std(ddof=1) / math.sqrt(len(chosen))
    return Cell(float(chosen.mean()), interval=float(stats.t.ppf(0.975, len(chosen) - 1) * spread))


def _without_seed(configuration: dict[str, Any]) -> dict[str, Any]:
    rest = {**configuration, "MODEL": dict(configuration.get("MODEL", {}))}
    for *section, key in _OF_A_RUN:
        (rest[section[0]] if section else rest).pop(key, None)
    return rest
