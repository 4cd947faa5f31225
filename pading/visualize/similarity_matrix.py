"""A picture of how near the classes' vectors are to each other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pading.files import replacing

_LABELLED = 120
"""Classes whose names there is room for."""


def draw_similarities(
    names: Sequence[str], cosines: np.ndarray, unseen: Sequence[str], path: str | Path
) -> None:
    """Write a PNG of the matrix of cosines; unseen classes have a star.

    Args:
        names: of the classes.
        cosines: (K, K).
        unseen: names of the unseen ones.
        path: of the PNG, written whole or not at all.
    """
    side = min(24.0, max(5.0, 0.16 * len(names) + 2))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(cosines, cmap="viridis", vmin=min(0.0, float(cosines.min())), vmax=1)
    figure.colorbar(shown, ax=axes, label="cosine", shrink=0.8)
    if len(names) <= _LABELLED:
        labels = [f"{name} *" if name in unseen else name for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), labels, fontsize=7)
    axes.set_title("How near the classes are" + " (* unseen)" * bool(unseen))
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
