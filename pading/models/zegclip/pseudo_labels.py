"""Self-training within a step: labels of unseen classes out of the step's own scores."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pading.data.masks import IGNORE_LABEL


@torch.no_grad()
def labelled_by_scores(logits: Tensor, labels: Tensor, unseen: Sequence[int]) -> Tensor:
    """Pixels of unseen classes take the unseen class that scores most.

    That they are of unseen classes comes from the annotation; which ones they are does not.

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) int64; left as it is.
        unseen: classes.

    Returns:
        (B, H, W).
    """
    rows = torch.tensor(unseen, device=labels.device)
    guessed = rows[logits[:, rows].argmax(1)]
    return torch.where(torch.isin(labels, rows), guessed, labels)


@torch.no_grad()
def labelled_where_unlabelled(
    logits: Tensor, labels: Tensor, seen: Sequence[int], unseen: Sequence[int]
) -> Tensor:
    """Unlabelled pixels take the unseen class that scores most, where no seen class scores more.

    Nothing of unseen classes is annotated: where they are is guessed as well.

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) int64; left as it is.
        seen, unseen: classes.

    Returns:
        (B, H, W).
    """
    rows = torch.tensor(unseen, device=labels.device)
    best, place = logits[:, rows].max(1)
    wins = best > logits[:, list(seen)].amax(1)
    return torch.where((labels == IGNORE_LABEL) & wins, rows[place], labels)
