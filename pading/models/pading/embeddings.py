"""What stage 2 learns from: embeddings out of a store, or made of images in every step.

Either way every process gets the embeddings of the whole batch and draws the same random numbers,
so that its losses are those of the global batch, noise, dropout and drawn classes included, as if
one process ran. What is expensive, the frozen segmenter, is shared out; the rest of stage 2 is
small. (Gathering with gradients would save little of it and repeat no random draw.)
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import Tensor

from pading.data.batches import TrainingBatches, in_parts, training_entries
from pading.layers.precision import autocast
from pading.models.pading.embedding_store import EmbeddingStore
from pading.models.pading.extraction import stored_entries
from pading.models.pading.steps import StageTwoBatch
from pading.randomness import Stream, generator, seed_everything

logger = logging.getLogger(__name__)

Random = np.random.Generator


class LabelsEmbeddings(Protocol):
    """The frozen segmenter, as far as this module needs it."""

    @property
    def device(self) -> torch.device:
        """Where it is."""

    def labelled_embeddings(self, batch: list[dict]) -> tuple[Tensor, Tensor]:
        """Embeddings (n, C) of all queries of some images, and their labels (n,)."""


class StoredEmbeddings:
    """Endless batches of labelled embeddings, each a function of the seed and of its iteration.

    The store is opened (and the run's own made) when the first batch is asked for, that is, after
    the weights have been loaded, which it must fit.
    """

    shared = True

    def __init__(
        self,
        cfg: CfgNode,
        open_store: Callable[[], EmbeddingStore],
        seed: int,
        device: torch.device,
    ) -> None:
        """
        Args:
            cfg: MODEL.ZERO_SHOT.CLASS_BALANCED and SOLVER.IMS_PER_BATCH are read.
            open_store: gives the store, when the first batch is asked for.
            seed: of the run; may be set until then.
            device: where the embeddings go.
        """
        self.cfg, self.open_store, self.seed, self.device = cfg, open_store, seed, device
        self.images_per_batch = cfg.SOLVER.IMS_PER_BATCH

    def starting_at(self, iteration: int) -> Iterator[StageTwoBatch]:
        """The batches of this iteration and those that follow."""
        store = self._store = self.open_store()
        self._draw = (BalancedRows if self.cfg.MODEL.ZERO_SHOT.CLASS_BALANCED else ImageRows)(store)
        while True:
            rows = self._rows(iteration)
            yield StageTwoBatch(
                store.embeddings(rows).to(self.device, non_blocking=True),
                store.labels[rows].to(self.device, non_blocking=True),
                store.no_object_share,
            )
            iteration += 1

    def image_names(self, iteration: int) -> list[str]:
        """The files of the images that the embeddings in an iteration come from."""
        items = torch.bucketize(self._rows(iteration), self._store.starts, right=True) - 1
        numbers = (items % self._store.header.images).unique()
        entries = stored_entries(training_entries(self.cfg), self._store.header.settings)
        return [entries[number]["file_name"] for number in numbers.tolist()]

    def _rows(self, iteration: int) -> Tensor:
        random = generator(self.seed, Stream.ORDER, iteration)
        return self._draw.rows(self.images_per_batch, random)


class ImageEmbeddings:
    """Endless batches of labelled embeddings, made of augmented images.

    Every process runs the segmenter on its share of the images. The matching's points are drawn
    anew in each iteration and process.
    """

    shared = True

    def __init__(
        self,
        images: TrainingBatches,
        model: LabelsEmbeddings,
        parts: int = 1,
        amp_dtype: torch.dtype | None = None,
    ) -> None:
        """
        Args:
            images: the processes' shares.
            model: labels the embeddings.
            parts: that a share is cut into, to run one after another in less memory.
            amp_dtype: type of the segmenter's mixed precision; None: float32 throughout.
        """
        self.images, self.model = images, model
        self.parts, self.amp_dtype = parts, amp_dtype

    @property
    def seed(self) -> int:
        """Of the run; may be set until the first batch is asked for."""
        return self.images.seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self.images.seed = seed

    def starting_at(self, iteration: int) -> Iterator[StageTwoBatch]:
        """The batches of this iteration and those that follow."""
        for number, images in enumerate(self.images.starting_at(iteration), iteration):
            seed_everything(self.seed, Stream.EMBEDDINGS, number, comm.get_rank())
            found = [self._labelled(part) for part in in_parts(images, self.parts)]
            embeddings, labels = (torch.cat(x) for x in zip(*found, strict=True))
            yield StageTwoBatch(_of_all(embeddings), _of_all(labels))

    def image_names(self, iteration: int) -> list[str]:
        """The files of this process's images in an iteration."""
        return self.images.image_names(iteration)

    def _labelled(self, images: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        with autocast(self.model.device, self.amp_dtype):
            return self.model.labelled_embeddings(images)


def _of_all(rows: Tensor) -> Tensor:
    """The rows of all processes, as many from each, in the order of their ranks."""
    if comm.get_world_size() == 1:
        return rows
    found = [torch.empty_like(rows) for _ in range(comm.get_world_size())]
    torch.distributed.all_gather(found, rows.contiguous())
    return torch.cat(found)


class ImageRows:
    """Draws whole images, with replacement."""

    def __init__(self, store: EmbeddingStore) -> None:
        self.store = store

    def rows(self, images: int, random: Random) -> Tensor:
        """Rows of so many images."""
        items = random.integers(self.store.header.items, size=images)
        return self.store.item_rows(torch.from_numpy(items))


class BalancedRows:
    """Draws as many rows as whole images have on average, the matched ones evenly over classes."""

    def __init__(self, store: EmbeddingStore) -> None:
        parts = {k: (store.labels == k).nonzero()[:, 0] for k in store.labels.unique().tolist()}
        self.unmatched = parts.pop(store.no_object, torch.empty(0, dtype=torch.int64))
        self.matched = list(parts.values())
        self.items = store.header.items

    def rows(self, images: int, random: Random) -> Tensor:
        """As many rows as so many images have."""

        def some(rows: Tensor, count: int) -> Tensor:
            return rows[random.integers(max(len(rows), 1), size=count)]

        drawn = [some(self.unmatched, round(images * len(self.unmatched) / self.items))]
        if self.matched:
            count = max(round(images * sum(map(len, self.matched)) / self.items), 1)
            counts = np.bincount(random.integers(len(self.matched), size=count))
            drawn += [some(p, n) for p, n in zip(self.matched, counts.tolist(), strict=False)]
        return torch.cat(drawn)
