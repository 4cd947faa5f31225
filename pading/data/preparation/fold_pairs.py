"""Pairs of an image and a class, which training and test by folds ask for."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice

Pairs = list[tuple[str, int]]
"""An image's name and the id of a class (its place in the list of classes, plus one)."""


def all_pairs(shown: Mapping[str, Sequence[int]], classes: Sequence[int]) -> Pairs:
    """Every class of some in every image that shows it.

    Args:
        shown: image -> ids in its label map.
        classes: ids of those asked for.
    """
    wanted = set(classes)
    return [(name, i) for name, ids in shown.items() for i in sorted(wanted & set(ids))]


def cycled(pairs: Pairs, queries: int) -> Pairs:
    """So many of the pairs, from the first again after the last; all of them once for 0."""
    return list(islice(cycle(pairs), queries)) if queries else pairs


def lines_of(pairs: Pairs) -> list[str]:
    """As pairs files hold them: 2007_000032__01."""
    return [f"{name}__{class_id:02}" for name, class_id in pairs]
