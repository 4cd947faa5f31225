"""What a run or an evaluation has left on disk, as a report reads it."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pading.errors import InputError
from pading.evaluation.evaluator import RESULTS_FILE
from pading.evaluation.groups import Scores
from pading.evaluation.seen_unseen_curve import Curve
from pading.files import field as entry_field
from pading.files import read_json


@dataclass(frozen=True)
class StoredResults:
    """Scores of a model on one data set, and the folder of the predictions behind them."""

    folder: Path
    dataset: str
    split: str
    scores: dict[str, Scores]
    """By Detectron2's name of the task."""


@dataclass(frozen=True)
class StoredRun:
    """A run's folder, or what there is of one."""

    path: Path
    """As the user named it."""
    results: dict[str, StoredResults]
    """By data set."""
    configuration: dict[str, Any] = field(default_factory=dict)
    """Empty where none was kept."""
    start: dict[str, Any] = field(default_factory=dict)
    """Time, command, versions and git state of the last start; empty where none was kept."""
    losses: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Name of a loss -> (iteration, value)."""
    dials: dict[str, dict[str, Curve]] = field(default_factory=dict)
    """Data set, or part of one -> task -> curve of seen against unseen, where one was made."""
    name: str = ""
    """Short, and unlike those of the other runs of a report."""

    @property
    def seed(self) -> int | None:
        return self.configuration.get("SEED")


def read_run(path: str | Path) -> StoredRun:
    """Read a run's folder, a folder with results of one evaluation, or a results file.

    Raises:
        InputError: there is no result, or a file that is none of ours.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; name a run or its results")
    if path.is_file():
        files = [path]
    elif (path / RESULTS_FILE).exists() and not (path / "inference").is_dir():
        files = [path / RESULTS_FILE]
    else:
        files = sorted(path.glob(f"inference/*/{RESULTS_FILE}"))
    if not files:
        raise InputError(
            f"{path}: no results there; name the folder of a run that was scored (it has "
            f"inference/DATASET/{RESULTS_FILE})"
        )
    found = [_read_results(file) for file in files]
    inside = files[0].parent.parent
    home = inside.parent if inside.name == "inference" else files[0].parent
    start = _last_start(home / "run.json")
    return StoredRun(
        path,
        {results.dataset: results for results in found},
        start.pop("configuration", None) or _configuration(home / "config.yaml"),
        start,
        _losses(home / "metrics.json"),
        {file.parent.name: _dial(file) for file in sorted(home.glob("dial/*/dial.json"))},
    )


def named(runs: list[StoredRun]) -> list[StoredRun]:
    """The runs with short names: the parts of their paths in which they differ."""
    paths = [Path(os.path.abspath(run.path)) for run in runs]
    if len({*paths}) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise InputError(f"{twice}: is given twice; compare different runs")
    shared = Path(os.path.commonpath([path.parent for path in paths]))
    return [
        StoredRun(**{**run.__dict__, "name": str(path.relative_to(shared))})
        for run, path in zip(runs, paths, strict=True)
    ]


def _read_results(path: Path) -> StoredResults:
    report = read_json(path)
    try:
        metrics = entry_field(report, "metrics", dict, str(path))
        classes = entry_field(report, "per_class", dict, str(path))
        dataset = entry_field(report, "dataset", str, str(path))
        split = entry_field(report, "split", str, str(path))
        for task in metrics:
            entry_field(classes, task, dict, f"{path}: per_class")
        scores = {task: Scores.from_report(task, report) for task in metrics}
    except (InputError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path}: is no {RESULTS_FILE} of an evaluation ({error}); name a run's folder, or "
            f"inference/DATASET/{RESULTS_FILE} in it"
        ) from error
    return StoredResults(path.parent, dataset, split, scores)


def _last_start(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    return dict(entry_field(read_json(path), "starts", list, str(path))[-1])


def _configuration(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: cannot read this configuration: {error}") from error


def _dial(path: Path) -> dict[str, Curve]:
    """What ``pading evaluate --dial`` has written: curves by task."""
    records = read_json(path)
    try:
        return {
            task: Curve.from_record(task, entry_field(records, task, dict, str(path)))
            for task in records
        }
    except (InputError, TypeError) as error:
        raise InputError(
            f"{path}: holds no curve of the dial ({error}); make it anew: pading evaluate --dial"
        ) from error


def _losses(path: Path) -> dict[str, list[tuple[int, float]]]:
    """The loss curves of Detectron2's metrics.json: a JSON object a line, the last perhaps cut."""
    curves: dict[str, dict[int, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut off where the run was killed; the others count
        for name, value in entry.items():
            if "loss" in name and isinstance(value, (int, float)):
                # A resumed run repeats iterations: the last value counts.
                curves.setdefault(name, {})[entry["iteration"]] = value
    return {name: sorted(points.items()) for name, points in curves.items()}
