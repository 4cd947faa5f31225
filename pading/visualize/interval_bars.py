"""A picture of figures with their intervals: a panel for each measure, a group of bars a row."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pading.files import replacing

_COLOURS = {"seen": "#7f8c8d", "unseen": "#d4a017", "harmonic": "#2c5f8a", "all": "#2c5f8a"}


def draw_bars(
    rows: Mapping[str, Mapping[str, tuple[float, float | None]]], title: str, path: str | Path
) -> None:
    """Write a PNG.

    Args:
        rows: name -> "MEASURE GROUP" -> mean and half of its interval, which may be unknown.
        title: above all panels.
        path: of the picture, written whole or not at all.
    """
    labels = dict.fromkeys(label for row in rows.values() for label in row)
    measures = list(dict.fromkeys(label.rpartition(" ")[0] for label in labels)) or [""]
    # As high as its rows are many, in inches: bars stay as thick as the letters.
    size = (3 + 3 * len(measures), 1.2 + 0.5 * max(len(rows), 2))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    places = np.arange(len(rows))
    for axes, measure in zip(panels, measures, strict=True):
        groups = [label.rpartition(" ")[2] for label in labels if label.startswith(f"{measure} ")]
        for number, group in enumerate(groups):
            at = places + 0.27 * (number - (len(groups) - 1) / 2)
            found = [row.get(f"{measure} {group}", (0.0, None)) for row in rows.values()]
            means = [mean for mean, _ in found]
            axes.barh(at, means, 0.25, color=_COLOURS.get(group), label=group)
            for place, (mean, half) in zip(at, found, strict=True):
                if half is not None:
                    axes.errorbar(mean, place, xerr=half, color="black", capsize=2, linewidth=0.8)
        axes.set_yticks(places, [textwrap.fill(name, 30) for name in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{measure} (per cent)")
        axes.grid(axis="x", alpha=0.3)
    entries = panels[-1].get_legend_handles_labels()
    figure.legend(*entries, loc="outside lower center", ncols=len(entries[1]), fontsize=8)
    figure.suptitle(title)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
