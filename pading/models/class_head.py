"""The class head of a segmenter: which of its rows stands for which class."""

from collections.abc import Mapping
from typing import Any

from pading.errors import InputError
from pading.vocabulary.splits import ClassSplit

CLASS_HEAD = "sem_seg_head.predictor.class_embed."
"""How the names of its weights begin."""
_CLASSIFIERS = (CLASS_HEAD, "classifier.")


def head_classes(split: ClassSplit, classes: str) -> tuple[int, ...]:
    """Contiguous indices of the classes that a class head knows, in the order of its rows.

    Args:
        split: all classes.
        classes: "seen" or "all" (MODEL.SEGMENTER.CLASSES).
    """
    return split.seen if classes == "seen" else tuple(range(split.num_classes))


def check_rows(checkpoint: Mapping[str, Any], split: ClassSplit) -> list[str]:
    """Refuse a checkpoint whose class head has a class of a split at another row.

    Args:
        checkpoint: under our names; without a ``split`` nothing is known of its classes.
        split: what the rows, as many, are taken for.

    Returns:
        warnings: classes of other names at the same rows may have been renamed.

    Raises:
        InputError: names a class that is elsewhere.
    """
    record = checkpoint.get("split")
    head = checkpoint["model"].get(f"{CLASS_HEAD}bias")
    if not isinstance(record, dict) or head is None:
        return []
    trained_on = ClassSplit.from_record(record, "the checkpoint's class split")
    theirs, ours = (names_of_rows(s, len(head) - 1) for s in (trained_on, split))
    rows = {name: row for row, name in enumerate(theirs)}
    for row, name in enumerate(ours):
        if rows.get(name, row) != row:
            raise InputError(
                f"it was trained on the class split {trained_on.name!r}, in which {name!r} is at "
                f"row {rows[name]} of the class head, not at row {row} as in {split.name!r}; give "
                "the split that it was trained on"
            )
    others = [pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]]
    if not others:
        return []
    return [
        f"the class split {trained_on.name!r} of these weights calls {len(others)} classes "
        f"differently; {others[0][0]!r} is {others[0][1]!r} here"
    ]


def head_hint(name: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> str:
    """What a class head of another size hints at; "" for other tensors."""
    if not name.startswith(_CLASSIFIERS) or theirs[0] == ours[0]:
        return ""
    return (
        f"the class head has {theirs[0]} outputs in the file, but {ours[0]} in this model "
        "(classes and no-object): tools/preprocess_pretrained_weight.py grows the head of a "
        "stage-1 checkpoint from the seen classes to all classes of the split. If it is converted "
        "already, it belongs to another split or stage (MODEL.SEGMENTER.CLASSES)"
    )


def names_of_rows(split: ClassSplit, rows: int) -> list[str]:
    """The classes of a class head of so many rows; none where it is no head of this split."""
    known = {split.num_classes: range(split.num_classes), split.num_seen: split.seen}
    return [split.names[i] for i in known.get(rows, ())]
