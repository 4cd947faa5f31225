"""Queries made by hand."""

import torch
from torch import Tensor

from pading.inference.bands import Band, Part

# Classes 0 and 1 are things, 2 and 3 stuff; column 4 is no-object.
THINGS = (0, 1)
NO_OBJECT = 4


def query(label: int, score: float) -> Tensor:
    """Scores of a query: ``score`` for ``label``, the rest shared by the others."""
    row = torch.full((5,), (1 - score) / 4)
    row[label] = score
    return row


def mask(columns: str, strength: float = 4.0) -> Tensor:
    """(2, n) mask logits: "1" inside, "0" outside."""
    row = torch.tensor([strength if c == "1" else -strength for c in columns])
    return row.expand(2, -1)


def at_once(part: Part, masks: Tensor) -> None:
    """Masks (Q, H, W) of all queries, in one band."""
    if len(part.queries):
        part.take(Band(slice(None), masks, masks.sigmoid()).of(part.queries))
