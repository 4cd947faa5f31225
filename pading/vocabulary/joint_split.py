"""One list of classes for data sets that have lists of their own."""

from collections.abc import Sequence
from dataclasses import replace

from pading.errors import InputError
from pading.vocabulary.splits import ClassInfo, ClassSplit


def joint_split(splits: Sequence[ClassSplit]) -> ClassSplit:
    """The classes of several splits, those of one name made one, in the order in which they occur.

    Their ids are their places, since those of different data sets mean different things. A class
    is a thing where the first split that has it says so.

    Args:
        splits: at least one.

    Raises:
        InputError: a class is seen in one split and unseen in another: it would be learned from
            the one's labels.
    """
    met: dict[str, tuple[ClassInfo, ClassSplit]] = {}
    for split in splits:
        for info in split.classes:
            first, owner = met.setdefault(info.name, (info, split))
            if first.unseen != info.unseen:
                seen, unseen = (split, owner) if first.unseen else (owner, split)
                raise InputError(
                    f"the class {info.name!r} is seen in the split {seen.name!r} and unseen in "
                    f"{unseen.name!r}; make it unseen in both, or train on one of them"
                )
    classes = [replace(info, id=place) for place, (info, _) in enumerate(met.values())]
    name = "+".join(dict.fromkeys(split.name for split in splits))
    return ClassSplit(name, tuple(classes))


def places_in(joint: ClassSplit, split: ClassSplit) -> tuple[int, ...]:
    """Where the classes of a split are in a joint one, in their own order."""
    places = {name: place for place, name in enumerate(joint.names)}
    return tuple(places[name] for name in split.names)
