"""Quality over the number of seen classes that stage 2 learns from, for each generator."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pading.files import replacing
from research.ablation.study import GENERATORS, Row

_COLOURS = {"ridge": "#3a7d44", "plain": "#2c5f8a", "primitives": "#d4a017"}


def curve_rows(counts: Sequence[int]) -> list[Row]:
    """For each number of seen classes, a row of each generator."""
    return [
        Row(_name(count, generator), overrides, seen_classes=count)
        for count in counts
        for generator, overrides in GENERATORS.items()
    ]


def draw_curve(rows: Mapping[str, Mapping[str, Any]], path: Path, counts: Sequence[int]) -> None:
    """PQ of unseen classes over the number of seen ones, with 95 % intervals.

    Args:
        rows: what :func:`summarise_runs` makes of the runs of :func:`curve_rows`.
        path: of the PNG.
        counts: numbers of seen classes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for generator in GENERATORS:
        if not any(_name(count, generator) in rows for count in counts):
            continue  # not among the --rows
        found = {
            count: row["panoptic_seg/PQ_unseen"]
            for count in sorted(counts)
            if "panoptic_seg/PQ_unseen" in (row := rows.get(_name(count, generator), {}))
        }
        axes.errorbar(
            list(found),
            [figures["mean"] for figures in found.values()],
            yerr=[figures["interval"] or 0.0 for figures in found.values()],
            label=generator,
            color=_COLOURS[generator],
            marker="o",
            capsize=3,
        )
    axes.set_xlabel("seen classes that stage 2 learns from")
    axes.set_ylabel("unseen PQ, per cent")
    axes.set_ylim(bottom=0)
    axes.grid(linewidth=0.4)
    axes.legend(frameon=False)
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _name(count: int, generator: str) -> str:
    return f"{count} seen classes, {generator}"
