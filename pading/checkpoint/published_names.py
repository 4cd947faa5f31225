"""Names in published checkpoints and ours: each system has one table of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pading.errors import InputError

T = TypeVar("T")
Pairs = tuple[tuple[str, str], ...]

THEIRS = "published."
"""Tensors that only the published code has keep their names in our files, behind this."""
OURS = "pading."
"""Tensors that only we have, likewise in files of the published layout."""
_WRAPPED = "module."  # DistributedDataParallel's, saved with it


@dataclass(frozen=True)
class NameTable:
    """How the names of a system's published checkpoints begin, and how ours do.

    Args:
        pairs: (published beginning, our beginning); everything else is the same in both. What is
            mapped to a name behind :data:`THEIRS` is accepted and not used.
        older: (beginning in older published checkpoints, in later ones).
    """

    pairs: Pairs = ()
    older: Pairs = ()

    def ours(self, name: str) -> str:
        """Our name of a tensor under its published name; a name of ours is given back as it is."""
        return _replace(_replace(name.removeprefix(_WRAPPED), self.older), self.pairs)

    def published(self, name: str) -> str:
        """The published name of a tensor under ours; a published name is given back as it is."""
        return _replace(name, tuple((ours, theirs) for theirs, ours in self.pairs))

    def to_ours(self, weights: Mapping[str, T]) -> dict[str, T]:
        """Rename a state dict's entries from published names (or ours) to ours.

        Raises:
            InputError: two entries have one name of ours.
        """
        return _rename(weights, self.ours)

    def to_published(self, weights: Mapping[str, T]) -> dict[str, T]:
        """Rename a state dict's entries from our names (or published ones) to the published.

        Raises:
            InputError: two entries have one published name.
        """
        return _rename(weights, self.published)


def usable(weights: Mapping[str, T]) -> dict[str, T]:
    """Without what only the published code has a use for."""
    return {name: value for name, value in weights.items() if not name.startswith(THEIRS)}


def _rename(weights: Mapping[str, T], new_name: Callable[[str], str]) -> dict[str, T]:
    renamed: dict[str, T] = {}
    origin: dict[str, str] = {}
    for name, value in weights.items():
        new = new_name(name)
        if new in renamed:
            raise InputError(
                f"{origin[new]} and {name} are two names of one tensor ({new}); remove one of them"
            )
        renamed[new], origin[new] = value, name
    return renamed


def _replace(name: str, table: Pairs) -> str:
    for old, new in table:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
