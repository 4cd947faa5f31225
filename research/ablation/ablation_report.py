"""Runs of an ablation as tables in Markdown and JSON and as a figure with error bars."""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from pading.files import replacing, write_json

HARMONIC = "panoptic_seg/PQ_harmonic"
SECONDS = "seconds/training"
COLUMNS = {
    f"{task}/{metric}_{group}": f"{metric} {group}"
    for task, metric in (("panoptic_seg", "PQ"), ("segm", "AP50"), ("sem_seg", "mIoU"))
    for group in ("seen", "unseen", "harmonic")
}
_OF_ONE = (
    "Per cent, on one stage-1 checkpoint: mean of the runs ± half of its 95 % interval (Student's "
    "t), which covers what seeds of stage 2 decide, and not what another stage 1 would."
)
_OF_SEVERAL = (
    "Per cent, on {0} stage-1 checkpoints: mean of the checkpoints' means ± half of its 95 % "
    "interval (Student's t over the checkpoints, for runs on one checkpoint are not independent of "
    "it), which covers the seeds of both stages."
)
_ALSO = (
    "\nsd: standard deviation of harmonic PQ over seeds of stage 2, on the same checkpoint. "
    "s: seconds of training a run."
)


def summarise_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation and half of the 95 % interval (Student's t) by row and figure.

    Where the runs are of several stage-1 checkpoints, the interval is that of the mean over
    checkpoints, each of which counts with the mean of its runs. The standard deviation is always
    that of the runs around the mean of their checkpoint.

    Args:
        runs: each with ``row``, ``seed``, ``weights`` ("" for a run that no checkpoint has a part
            in) and ``figures``.
    """
    several = len(checkpoints_of(runs)) > 1
    rows: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(run["row"] for run in runs):
        mine = [run for run in runs if run["row"] == name]
        rows[name] = {"runs": len(mine)}
        for key in (*COLUMNS, SECONDS):
            groups: dict[str, list[float]] = {}
            for run in mine:
                if run["figures"].get(key) is not None:
                    groups.setdefault(run["weights"], []).append(run["figures"][key])
            if groups:
                by_checkpoint = several and "" not in groups
                rows[name][key] = _statistics([np.array(g) for g in groups.values()], by_checkpoint)
    return rows


def summarise_checkpoints(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Harmonic PQ by stage-1 checkpoint and row: what :func:`summarise_runs` says of each alone."""
    found: dict[str, dict[str, Any]] = {}
    for weights in checkpoints_of(runs):
        rows = summarise_runs([run for run in runs if run["weights"] == weights])
        found[weights] = {name: row[HARMONIC] for name, row in rows.items() if HARMONIC in row}
    return found


def checkpoints_of(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The stage-1 checkpoints, in the order in which they occur."""
    return [weights for weights in dict.fromkeys(run["weights"] for run in runs) if weights]


def _statistics(groups: Sequence[np.ndarray], by_checkpoint: bool) -> dict[str, float | None]:
    """Of runs by checkpoint; independent are the checkpoints, or the runs."""
    independent = np.array([g.mean() for g in groups]) if by_checkpoint else np.concatenate(groups)
    n = len(independent)
    freedom = sum(len(g) - 1 for g in groups)
    squares = sum(float(((g - g.mean()) ** 2).sum()) for g in groups)
    half = None
    if n > 1:
        half = float(stats.t.ppf(0.975, n - 1) * independent.std(ddof=1) / math.sqrt(n))
    return {
        "mean": float(independent.mean()),
        "std": math.sqrt(squares / freedom) if freedom else None,
        "interval": half,
    }


def markdown_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A row per setting: mean and half of the 95 % interval; sd of harmonic PQ; seconds."""
    columns = [key for key in COLUMNS if any(key in row for row in rows.values())]
    heads, table = ["", "runs", *(COLUMNS[key] for key in columns), "sd", "s"], []
    for name, row in rows.items():
        cells = [_cell(row.get(key), "interval") for key in columns]
        deviation = row.get(HARMONIC, {}).get("std")
        sd = "" if deviation is None else f"{deviation:.1f}"
        seconds = f"{row[SECONDS]['mean']:.0f}" if SECONDS in row else ""
        table.append([name, str(row["runs"]), *cells, sd, seconds])
    return _table(heads, table)


def checkpoint_table(checkpoints: Mapping[str, Mapping[str, Any]]) -> str:
    """A row per setting, a column per stage-1 checkpoint: harmonic PQ, mean and deviation."""
    names = dict.fromkeys(name for rows in checkpoints.values() for name in rows)
    table = [
        [name, *(_cell(rows.get(name), "std") for rows in checkpoints.values())] for name in names
    ]
    return _table(["", *(str(n) for n in range(1, len(checkpoints) + 1))], table)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = f"|:--|{'--:|' * (len(heads) - 1)}"
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return "\n".join([lines[0], rule, *lines[1:]])


def _cell(figure: Mapping[str, float | None] | None, spread: str) -> str:
    if figure is None:
        return ""
    half = figure[spread]
    return f"{figure['mean']:.1f}" + (f" ± {half:.1f}" if half is not None else "")


def draw(rows: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Bars of seen, unseen and harmonic PQ with their 95 % intervals, a group per row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # As high as its rows are many, in inches: a group's three bars stay as thick as the letters.
    figure = Figure(figsize=(9, 1.0 + 0.45 * max(len(rows), 2)), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = np.arange(len(rows))
    kinds = {"seen": "#7f8c8d", "unseen": "#d4a017", "harmonic": "#2c5f8a"}
    for offset, (kind, colour) in zip((-0.27, 0, 0.27), kinds.items(), strict=True):
        found = [row.get(f"panoptic_seg/PQ_{kind}") or {} for row in rows.values()]
        means = [f.get("mean") or 0.0 for f in found]
        axes.barh(places + offset, means, 0.25, color=colour, label=kind)
        # No bar of zero width where an interval is not known.
        for place, mean, f in zip(places + offset, means, found, strict=True):
            if f.get("interval"):
                axes.errorbar(
                    mean, place, xerr=f["interval"], color="black", capsize=2, linewidth=0.8
                )
    axes.set_yticks(places, [textwrap.fill(name, 40) for name in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.grid(axis="x", linewidth=0.4)
    axes.set_axisbelow(True)
    axes.set_xlabel("PQ, per cent; lines: 95 % interval of the mean")
    figure.legend(loc="upper right", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
    with replacing(path) as temporary:
        figure.savefig(temporary)


def write_report(
    runs: Sequence[Mapping[str, Any]],
    path: Path,
    heading: str,
    command: str,
    notes: str = "",
    picture: Callable[[Mapping[str, Mapping[str, Any]], Path], None] = draw,
) -> None:
    """Write ``path`` with the endings .md, .json and .png.

    Args:
        runs: as :func:`summarise_runs` takes them, in the order of the rows.
        path: without ending.
        heading: of the page.
        command: that writes the report.
        notes: Markdown to end the page with.
        picture: draws the rows into a PNG.
    """
    rows, checkpoints = summarise_runs(runs), summarise_checkpoints(runs)
    several = len(checkpoints) > 1
    content = {"command": command, "rows": rows, "checkpoints": checkpoints, "runs": list(runs)}
    write_json(path.with_suffix(".json"), content, indent=1)
    picture(rows, path.with_suffix(".png"))
    parts = [
        f"# {heading}",
        (_OF_SEVERAL.format(len(checkpoints)) if several else _OF_ONE) + _ALSO,
        f"    {command}",
        markdown_table(rows),
    ]
    if several:
        numbered = [f"{n}. `{weights}`" for n, weights in enumerate(checkpoints, 1)]
        parts += [
            "## By stage-1 checkpoint",
            "Harmonic PQ: mean ± standard deviation over the seeds of stage 2.",
            checkpoint_table(checkpoints),
            "\n".join(numbered),
        ]
    parts += [f"![{heading}]({path.stem}.png)", *([notes.strip()] if notes.strip() else [])]
    with replacing(path.with_suffix(".md")) as temporary:
        Path(temporary).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
