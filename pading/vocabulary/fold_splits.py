"""Class splits of folds: the tested fold's classes are unseen, and all else is "others"."""

from pading.errors import InputError
from pading.vocabulary.folds import fold_lists, load_fold
from pading.vocabulary.splits import ClassInfo, ClassSplit

OTHERS = "others"
"""What a pixel is that is not of the class that is asked for; label 0 of every such split."""


def is_fold(name: str) -> bool:
    """Whether a name is meant as a list with folds and a fold, such as "pascal_5i_0"."""
    return any(name.startswith(f"{known}_") for known in fold_lists())


def fold_split(name: str) -> ClassSplit:
    """The split of a fold: "others" (id 0) and the list's classes (id + 1), the tested ones unseen.

    So label maps in which background is 0 and class c of the list is c + 1 hold ids of the split.

    Args:
        name: of a shipped list and, after an underscore, one of its folds.

    Raises:
        InputError: there is no such list or fold.
    """
    known, _, fold = name.rpartition("_")
    if known not in fold_lists():
        raise InputError(
            f"there is no fold {name!r}; take one such as {fold_lists()[-1]}_0: a list of "
            f"{', '.join(fold_lists())}, and its fold"
        )
    found = load_fold(known, int(fold) if fold.isdecimal() else fold)
    unseen = {info.id for info in found.test}
    classes = sorted((*found.train, *found.test), key=lambda info: info.id)
    return ClassSplit(
        name,
        (
            ClassInfo(0, OTHERS, isthing=False, unseen=False),
            *(
                ClassInfo(info.id + 1, info.published, isthing=True, unseen=info.id in unseen)
                for info in classes
            ),
        ),
    )
