"""Self-training within a step: labels of unseen classes out of the step's own scores."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pading.data.masks import IGNORE_LABEL
from pading.inference.windows import at_size


@torch.no_grad()
def labelled_by_scores(masks: Tensor, labels: Tensor, unseen: Sequence[int]) -> Tensor:
    """Pixels of unseen classes take the unseen class that scores most.

    That they are of unseen classes comes from the annotation; which ones they are does not.

    Args:
        masks: (B, K, h, w) logits, which are enlarged to the size of the labels.
        labels: (B, H, W) int64; left as it is.
        unseen: classes.

    Returns:
        (B, H, W).
    """
    rows = torch.tensor(unseen, device=labels.device)
    size = (labels.shape[-2], labels.shape[-1])
    guessed = torch.stack([rows[at_size(m[None, rows], size)[0].argmax(0)] for m in masks])
    return torch.where(torch.isin(labels, rows), guessed, labels)


@torch.no_grad()
def labelled_where_unlabelled(
    masks: Tensor, labels: Tensor, seen: Sequence[int], unseen: Sequence[int]
) -> Tensor:
    """Unlabelled pixels take the unseen class that scores most, where no seen class scores more.

    Nothing of unseen classes is annotated: where they are is guessed as well.

    Args:
        masks: (B, K, h, w) logits, which are enlarged to the size of the labels.
        labels: (B, H, W) int64; left as it is.
        seen, unseen: classes.

    Returns:
        (B, H, W).
    """
    rows = torch.tensor(unseen, device=labels.device)
    size = (labels.shape[-2], labels.shape[-1])
    labelled = []
    for image, known in zip(masks, labels, strict=True):
        scores = at_size(image[None], size)[0]
        best, place = scores[rows].max(0)
        wins = best > scores[list(seen)].amax(0)
        labelled.append(torch.where((known == IGNORE_LABEL) & wins, rows[place], known))
    return torch.stack(labelled)
