"""Runs of an ablation as a table in Markdown and JSON and as a figure with error bars."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from pading.data.files import replacing, write_json

COLUMNS = {
    "panoptic_seg/PQ_seen": "PQ seen",
    "panoptic_seg/PQ_unseen": "PQ unseen",
    "panoptic_seg/PQ_harmonic": "PQ harmonic",
    "segm/AP50_seen": "AP50 seen",
    "segm/AP50_unseen": "AP50 unseen",
    "sem_seg/mIoU_seen": "mIoU seen",
    "sem_seg/mIoU_unseen": "mIoU unseen",
}


def summarise_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation and half of the 95 % interval (Student's t) by row and figure.

    Args:
        runs: each with ``row``, ``seed``, ``weights`` and ``figures``.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(run["row"] for run in runs):
        mine = [run["figures"] for run in runs if run["row"] == name]
        rows[name] = {"runs": len(mine)}
        for key in COLUMNS:
            values = np.array([f[key] for f in mine if f.get(key) is not None], float)
            if len(values):
                rows[name][key] = _statistics(values)
    return rows


def _statistics(values: np.ndarray) -> dict[str, float | None]:
    n = len(values)
    deviation = float(values.std(ddof=1)) if n > 1 else math.nan
    half = float(stats.t.ppf(0.975, n - 1)) * deviation / math.sqrt(n) if n > 1 else math.nan
    known = n > 1
    return {
        "mean": float(values.mean()),
        "std": deviation if known else None,
        "interval": half if known else None,
    }


def markdown_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A row per setting: mean and half of the 95 % interval."""
    columns = [key for key in COLUMNS if any(key in row for row in rows.values())]
    lines = [
        f"| | runs | {' | '.join(COLUMNS[key] for key in columns)} |",
        f"|:--|--:|{'--:|' * len(columns)}",
    ]
    for name, row in rows.items():
        cells = [_cell(row.get(key)) for key in columns]
        lines.append(f"| {name} | {row['runs']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(figure: Mapping[str, float | None] | None) -> str:
    if figure is None:
        return ""
    half = figure["interval"]
    return f"{figure['mean']:.1f}" + (f" ± {half:.1f}" if half is not None else "")


def draw(rows: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Bars of seen, unseen and harmonic PQ with their 95 % intervals, a group per row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.6 + 0.42 * len(rows)), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = np.arange(len(rows))
    kinds = {"seen": "#7f8c8d", "unseen": "#d4a017", "harmonic": "#2c5f8a"}
    for offset, (kind, colour) in zip((-0.27, 0, 0.27), kinds.items(), strict=True):
        found = [row.get(f"panoptic_seg/PQ_{kind}") or {} for row in rows.values()]
        means = [f.get("mean") or 0.0 for f in found]
        errors = [f.get("interval") or 0.0 for f in found]
        axes.barh(places + offset, means, 0.25, xerr=errors, color=colour, label=kind, capsize=2)
    axes.set_yticks(places, list(rows))
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("PQ, per cent; bars: 95 % interval of the mean")
    axes.legend()
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary)


def write_report(
    runs: Sequence[Mapping[str, Any]], path: Path, heading: str, command: str, notes: str = ""
) -> None:
    """Write ``path`` with the endings .md, .json and .png."""
    rows = summarise_runs(runs)
    content = {"command": command, "rows": rows, "runs": list(runs)}
    write_json(path.with_suffix(".json"), content, indent=1)
    draw(rows, path.with_suffix(".png"))
    text = (
        f"# {heading}\n\nPer cent; mean ± half of the 95 % interval (Student's t) over the runs.\n"
        f"\n    {command}\n\n{markdown_table(rows)}\n\n![{heading}]({path.stem}.png)\n{notes}"
    )
    with replacing(path.with_suffix(".md")) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
