"""A picture of seen against unseen, by the constant that is taken off seen scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pading.evaluation.seen_unseen_curve import Curve
from pading.files import replacing


def draw_curves(curves: Mapping[str, Curve], path: str | Path) -> None:
    """Write a PNG (or SVG) of curves, with the harmonic best of each.

    Args:
        curves: label -> curve; all of one figure.
        path: of the picture, written whole or not at all.
    """
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for label, curve in curves.items():
        best = curve.best
        [line] = axes.plot(
            [point.seen for point in curve.points],
            [point.unseen for point in curve.points],
            marker=".",
            label=f"{label}: area {curve.area:.3f}, harmonic {best.harmonic:.1f} at {best.bias:g}",
        )
        axes.plot(best.seen, best.unseen, marker="*", markersize=15, color=line.get_color())
    named: Sequence[str] = list(dict.fromkeys(curve.figure for curve in curves.values()))
    axes.set_xlabel(f"seen {', '.join(named)} (per cent)")
    axes.set_ylabel(f"unseen {', '.join(named)} (per cent)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
