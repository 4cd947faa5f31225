"""Some images of a store of embeddings, without those of some classes."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pading.models.pading.embedding_store import EmbeddingStore


class StorePart:
    """What stage 2 learns from in the place of a whole store; held in memory.

    Attributes:
        labels, no_object, starts, header, no_object_share: as those of :class:`EmbeddingStore`.
    """

    def __init__(self, store: EmbeddingStore, items: Tensor, left_out: Sequence[int] = ()) -> None:
        """
        Args:
            store: to take from.
            items: (n,) int64, images with their augmentations.
            left_out: labels whose embeddings are not taken.
        """
        kept = torch.isin(store.labels, torch.tensor(left_out, dtype=torch.int64)).logical_not()
        parts = [rows[kept[rows]] for rows in (store.item_rows(item[None]) for item in items)]
        rows = torch.cat(parts)
        counts = torch.tensor([0, *map(len, parts)])
        settings = {**store.header.settings, "AUGMENTATIONS": 1}
        self.labels = store.labels[rows]
        self.no_object = store.no_object
        self.starts = counts.cumsum(0)
        self.header = replace(store.header, images=len(items), settings=settings)
        self.no_object_share = store.no_object_share
        self._embeddings = store.embeddings(rows)

    def item_rows(self, items: Tensor) -> Tensor:
        """All rows of some items (n,), in turn."""
        return torch.cat([torch.arange(*self.starts[i : i + 2].tolist()) for i in items.tolist()])

    def embeddings(self, rows: Tensor) -> Tensor:
        """(n, C) float32 embeddings of some rows (n,)."""
        return self._embeddings[rows]
