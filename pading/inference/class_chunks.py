"""Which class every pixel is of, where the maps of all classes together would not fit in memory."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pading.inference.windows import Scores
from pading.structures import PixelClasses

ClassMaps = Callable[[slice], Tensor]
"""A range of classes to their maps (k, H, W), float32."""


class ClassesInTurn(NamedTuple):
    """The scores of all classes of an image, which are not there at once."""

    maps: ClassMaps
    chunks: Sequence[slice]
    """The ranges to ask for."""
    total: Tensor | None
    """(H, W), log-sum-exp over all classes; None: the maps are of probabilities already."""


def class_chunks(classes: int, pixels: int, budget: int) -> list[slice]:
    """Ranges of classes, in order.

    Args:
        classes: how many there are.
        pixels: of a map of one class, in float32.
        budget: bytes that the maps of a range may take; one class is always taken.
    """
    size = max(1, budget // (4 * pixels))
    return [slice(first, min(first + size, classes)) for first in range(0, classes, size)]


def best_classes(maps: ClassMaps, chunks: Sequence[slice]) -> PixelClasses:
    """The class of every pixel that scores best, the first of equal ones."""
    best, labels, total = torch.empty(0), torch.empty(0), torch.empty(0)
    for rows in chunks:
        part = maps(rows)
        # As argmax gives, which takes a CPU five times as long.
        top, index = part.max(0)
        sums = part.clamp(min=0).sum(0)
        if not rows.start:
            best, labels, total = top, index, sums
            continue
        better = top > best
        best = torch.where(better, top, best)
        labels = torch.where(better, index + rows.start, labels)
        total += sums
    return PixelClasses(labels, best, total)


def log_sum_exp(maps: ClassMaps, chunks: Sequence[slice]) -> Tensor:
    """(H, W), over all classes."""
    total = torch.empty(0)
    for rows in chunks:
        part = maps(rows).logsumexp(0)
        total = torch.logaddexp(total, part) if rows.start else part
    return total


class Replayed:
    """What is costly about the views of an image, computed once, when the views come again."""

    def __init__(self, encode: Callable[[Tensor], Any]) -> None:
        """
        Args:
            encode: (B, 3, h, w) to whatever class maps are made of.
        """
        self._encode = encode
        self._encoded: list[Any] = []

    def followed_by(self, finish: Callable[[Any], Tensor]) -> Scores:
        """A function of the views, which must come in the same order each time.

        Args:
            finish: what was encoded to class maps.
        """
        places = itertools.count()

        def scores(view: Tensor) -> Tensor:
            place = next(places)
            if place == len(self._encoded):
                self._encoded.append(self._encode(view))
            return finish(self._encoded[place])

        return scores
