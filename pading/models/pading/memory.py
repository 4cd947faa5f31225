"""A small memory of real embeddings, so that a classifier can be retrained without any image."""

import torch
from torch import Tensor, nn


class EmbeddingMemory(nn.Module):
    """The last few embeddings of each class that training met, no-object included.

    They are buffers and so part of a checkpoint: (K + 1) * size * C numbers, 4 MB for COCO.
    """

    embeddings: Tensor
    counts: Tensor

    def __init__(self, num_classes: int, size: int, dim: int) -> None:
        """
        Args:
            num_classes: K; label K is no-object.
            size: embeddings kept of each.
            dim: C.
        """
        super().__init__()
        self.size = size
        self.register_buffer("embeddings", torch.zeros(num_classes + 1, size, dim))
        # How many were met, which says how frequent a class is; a ring of ``size`` is kept.
        self.register_buffer("counts", torch.zeros(num_classes + 1, dtype=torch.int64))

    @torch.no_grad()
    def keep(self, embeddings: Tensor, labels: Tensor) -> None:
        """Take in embeddings (R, C) with labels (R,) in [0, K]."""
        order = labels.argsort(stable=True)
        labels = labels[order]
        met = labels.bincount(minlength=len(self.counts))
        # Rank of each row among those of its class, of which the last ``size`` have a place.
        rank = torch.arange(len(labels), device=labels.device) - (met.cumsum(0) - met)[labels]
        kept = rank >= met[labels] - self.size
        places = (self.counts[labels] + rank) % self.size
        rows = embeddings[order][kept].to(self.embeddings.dtype)
        self.embeddings[labels[kept], places[kept]] = rows
        self.counts += met

    def held(self) -> tuple[Tensor, Tensor]:
        """What is held: embeddings (N, C) and their labels (N,)."""
        return held_embeddings(self.embeddings, self.counts)


def held_embeddings(embeddings: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Of a memory's buffers, the places that are filled: (N, C) and labels (N,)."""
    filled = torch.arange(embeddings.shape[1], device=counts.device) < counts[:, None]
    return embeddings[filled], filled.nonzero()[:, 0]
