"""A report of one run or several, as one HTML file: no network, no other file."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from pading import __version__
from pading.errors import InputError
from pading.files import writing
from pading.reports.image_findings import Findings, find
from pading.reports.run_comparison import (
    MAIN_METRIC,
    check_comparable,
    class_rows,
    columns_of,
    group_rows,
)
from pading.reports.stored_results import StoredRun, named, read_run

REPORT_FILE = "report.html"
# Of each kind, for one data set: three kinds of three results are 150 JPEGs of about 50 kB.
_PICTURES = 5
_TITLES = {
    "panoptic_seg": "Panoptic",
    "sem_seg": "Semantic",
    "segm": "Instance masks",
    "bbox": "Instance boxes",
    "fold_seg": "One class against others",
}
_CURVE = (560, 220)  # width and height of a plot's inside


def write_report(
    first: str | Path, others: Sequence[str | Path] = (), output: str | Path = ""
) -> Path:
    """Write the report of a run, beside others where they are given.

    A single run that trained on another's weights is shown beside that one, if it was scored.

    Args:
        first: a run's folder, or results in it.
        others: the same of runs to compare with.
        output: the HTML file; "": ``report.html`` in the folder of the first.

    Returns:
        the file.

    Raises:
        InputError: no results, results of other classes or data sets, or it cannot be written.
    """
    runs = [read_run(path) for path in (first, *others)]
    if not others:
        runs += _before(runs[0])
    runs = named(runs)
    path = Path(output or runs[0].path)
    if path.suffix != ".html":
        path = (path.parent if path.is_file() else path) / REPORT_FILE
    html = _render(runs)
    with writing(path) as temporary:
        Path(temporary).write_text(html, encoding="utf-8")
    return path


def _before(run: StoredRun) -> list[StoredRun]:
    """The run whose weights this one started from, if it was scored on the same classes."""
    weights = run.configuration.get("MODEL", {}).get("WEIGHTS") or ""
    try:
        before = read_run(Path(weights).parent) if weights else None
        if before is None or before.path.resolve() == run.path.resolve():
            return []
        check_comparable([run, before])
    except InputError:
        return []  # fetched from elsewhere, or of other classes: nothing to compare with
    return [before]


def _render(runs: Sequence[StoredRun]) -> str:
    environment = Environment(
        loader=PackageLoader("pading.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda v: "–" if math.isnan(v) else f"{v:.1f}"
    environment.filters["signed"] = lambda v: f"{v:+.1f}".replace("-", "−")
    environment.tests["nan"] = math.isnan
    template = environment.get_template("report.html.jinja")
    datasets = check_comparable(runs)
    return template.render(
        runs=runs,
        version=__version__,
        columns=columns_of(runs),
        sections=[_section(runs, dataset, len(datasets)) for dataset in datasets],
        curves=[curve for run in runs for curve in _curves(run)],
        dials=[dial for run in runs for dial in _dials(run)],
        plot=_CURVE,
        records=[_record(run) for run in runs],
    )


def _section(runs: Sequence[StoredRun], dataset: str, datasets: int) -> dict[str, Any]:
    """What the page says of one data set."""
    results = runs[0].results[dataset]
    columns = columns_of(runs)
    problem = ""
    findings: list[Findings] = []
    try:
        findings = find(runs[0], results, max(2, _PICTURES // datasets))
    except InputError as error:
        problem = str(error)
    return {
        "dataset": dataset,
        "split": results.split,
        "tasks": [
            {
                "title": _TITLES.get(task, task),
                "metric": MAIN_METRIC.get(task, ""),
                "groups": group_rows(runs, columns, dataset, task),
                "classes": class_rows(runs, columns, dataset, task),
                "all": scores.groups,
            }
            for task, scores in results.scores.items()
        ],
        "findings": findings,
        "problem": problem,
    }


def _curves(run: StoredRun) -> list[dict[str, Any]]:
    """The total loss of a run, and its parts, as points of polylines."""
    total = {n: p for n, p in run.losses.items() if n == "total_loss"}
    # Those of single decoder layers (loss_ce_0) would be a thicket.
    parts = {
        n: p for n, p in run.losses.items() if n not in total and not n.rsplit("_", 1)[-1].isdigit()
    }
    return [
        {"title": f"{run.name}: {title}", **_plot(lines)}
        for title, lines in (("total loss", total), ("its parts", parts))
        if any(len(points) > 1 for points in lines.values())
    ]


def _dials(run: StoredRun) -> list[dict[str, Any]]:
    """Unseen over seen as points of a polyline, for every data set and task."""
    width, height = _CURVE
    return [
        {
            "title": f"{run.name}: {dataset}, {_TITLES.get(task, task)}",
            "curve": curve,
            "line": " ".join(
                f"{width * p.seen / 100:.1f},{height * (1 - p.unseen / 100):.1f}"
                for p in curve.points
            ),
        }
        for dataset, curves in run.dials.items()
        for task, curve in curves.items()
        if all(math.isfinite(value) for p in curve.points for value in (p.seen, p.unseen))
    ]


def _plot(lines: dict[str, list[tuple[int, float]]]) -> dict[str, Any]:
    width, height = _CURVE
    finite = {n: [(i, v) for i, v in points if math.isfinite(v)] for n, points in lines.items()}
    last = max(i for points in finite.values() for i, _ in points)
    highest = max(v for points in finite.values() for _, v in points) or 1.0
    return {
        "last": last,
        "highest": highest,
        "lines": [
            {
                "name": name,
                "hue": round(360 * n / len(finite)),
                "end": points[-1][1],
                "points": " ".join(
                    f"{width * i / last:.1f},{height * (1 - v / highest):.1f}" for i, v in points
                ),
            }
            for n, (name, points) in enumerate(finite.items())
            if points
        ],
    }


def _record(run: StoredRun) -> dict[str, str]:
    """What the run was, as text."""
    command = run.start.get("command")
    kept = {key: run.start[key] for key in ("versions", "git") if run.start.get(key)}
    return {
        "name": run.name,
        "time": str(run.start.get("time", "")),
        "command": shlex.join(map(str, command)) if isinstance(command, list) else "",
        "versions": yaml.safe_dump(kept, sort_keys=False) if kept else "",
        "configuration": yaml.safe_dump(run.configuration) if run.configuration else "",
    }
