"""From stage 1 to stage 2: the class head grows from the seen classes to all (METHOD: Convert)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pading.errors import InputError
from pading.vocabulary.splits import ClassSplit

_HEAD = "sem_seg_head.predictor.class_embed."
_CLASSIFIER = "classifier."


def grow_class_head(
    weights: Mapping[str, Tensor], split: ClassSplit, source: str
) -> dict[str, Tensor]:
    """Spread the class head over the full class list, and copy it to stage 2's classifier.

    Rows of unseen classes start at zero; the no-object row lands last.

    Args:
        weights: a stage-1 state dict, whose class head has S + 1 outputs.
        split: the full class list.
        source: where the weights are from, for messages.

    Returns:
        a new state dict, whose class head and ``classifier.`` have K + 1 outputs.

    Raises:
        InputError: no class head, or one of another size.
    """
    grown = dict(weights)
    rows = [*split.seen, split.num_classes]
    for name in ("weight", "bias"):
        head = weights.get(_HEAD + name)
        if head is None:
            raise InputError(f"{source}: it has no {_HEAD}{name}; give a checkpoint of stage 1")
        if len(head) != len(rows):
            already = " It seems to be converted already." * (len(head) == split.num_classes + 1)
            raise InputError(
                f"{source}: its class head has {len(head)} outputs, but split {split.name} has "
                f"{split.num_seen} seen classes and no-object, {len(rows)} in all.{already}"
            )
        full = torch.zeros((split.num_classes + 1, *head.shape[1:]), dtype=head.dtype)
        full[rows] = head
        grown[_HEAD + name] = full
        grown[_CLASSIFIER + name] = full.clone()
    return grown
