"""From stage 1 to stage 2: the class head grows from the seen classes to all ."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pading.checkpoint.published_names import usable
from pading.errors import InputError
from pading.models.class_head import CLASS_HEAD, check_rows
from pading.models.pading.stage_two import PADing
from pading.vocabulary.splits import ClassSplit

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
        head = weights.get(CLASS_HEAD + name)
        if head is None:
            raise InputError(
                f"{source}: it has no {CLASS_HEAD}{name}; give a checkpoint of stage 1"
            )
        if len(head) != len(rows):
            already = " It seems to be converted already." * (len(head) == split.num_classes + 1)
            raise InputError(
                f"{source}: its class head has {len(head)} outputs, but split {split.name} has "
                f"{split.num_seen} seen classes and no-object, {len(rows)} in all.{already}"
            )
        full = torch.zeros((split.num_classes + 1, *head.shape[1:]), dtype=head.dtype)
        full[rows] = head
        grown[CLASS_HEAD + name] = full
        grown[_CLASSIFIER + name] = full.clone()
    return grown


def convert(
    checkpoint: Mapping[str, Any], split: ClassSplit, source: str
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights that stage 2 starts from, of a checkpoint of stage 1: ours or a published one.

    Args:
        checkpoint: of :func:`~pading.checkpoint.weights.read_weights`.
        split: the full class list.
        source: where the checkpoint is from, for messages.

    Returns:
        the state dict under our names, and what there is to warn of.

    Raises:
        InputError: what :func:`grow_class_head` refuses; a checkpoint of another split.
    """
    weights = usable(PADing.published_names.to_ours(checkpoint["model"]))
    grown = grow_class_head(weights, split, source)
    try:
        return grown, check_rows({**checkpoint, "model": weights}, split)
    except InputError as error:
        raise InputError(f"{source}: {error} (--split)") from error
