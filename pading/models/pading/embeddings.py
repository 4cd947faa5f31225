"""What stage 2 learns from: embeddings out of a store, or made of images in every step.

Either way every process gets the embeddings of the whole batch and draws the same random numbers,
so that its losses are those of the global batch, noise, dropout and drawn classes included, as if
one process ran. What is expensive, the frozen segmenter, is shared out; the rest of stage 2 is
small. (Gathering with gradients would save little of it and repeat no random draw.)
"""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import Tensor

from pading.data.batches import TrainingBatches, training_entries
from pading.engine.loop import in_parts
from pading.errors import InputError
from pading.layers.precision import autocast
from pading.models.pading.extraction import Extraction, check_store_settings, stored_entries
from pading.models.pading.stage_two import PADing
from pading.models.pading.store import HEADER, EmbeddingStore, Header
from pading.randomness import Stream, generator, seed_everything

logger = logging.getLogger(__name__)

Random = np.random.Generator


class StoredEmbeddings:
    """Endless batches of labelled embeddings, each a function of the seed and of its iteration.

    The store is opened (and the run's own made) when the first batch is asked for, that is, after
    the weights have been loaded, which it must fit.
    """

    shared = True

    def __init__(
        self, cfg: CfgNode, model: PADing, seed: int, store: EmbeddingStore | None = None
    ) -> None:
        """
        Args:
            cfg: MODEL.STORE, MODEL.ZERO_SHOT.CLASS_BALANCED, SOLVER.IMS_PER_BATCH are read.
            model: labels the embeddings, where the store has to be made.
            seed: of the run; may be set until the first batch is asked for.
            store: one that has been opened and checked; None: as the configuration says.
        """
        self.cfg, self.model, self.seed, self.store = cfg, model, seed, store
        self.images_per_batch = cfg.SOLVER.IMS_PER_BATCH

    def starting_at(self, iteration: int) -> Iterator[dict[str, Any]]:
        """The batches of this iteration and those that follow.

        They are what PADing's forward takes by name: ``embeddings`` (R, C), ``labels`` (R,) and
        ``no_object_share``.
        """
        store = self._store = self.store or open_store(self.cfg, self.model)
        self._draw = (BalancedRows if self.cfg.MODEL.ZERO_SHOT.CLASS_BALANCED else ImageRows)(store)
        device = self.model.device
        while True:
            rows = self._rows(iteration)
            yield {
                "embeddings": store.embeddings(rows).to(device, non_blocking=True),
                "labels": store.labels[rows].to(device, non_blocking=True),
                "no_object_share": store.no_object_share,
            }
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
        model: PADing,
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

    def starting_at(self, iteration: int) -> Iterator[dict[str, Tensor]]:
        """The batches of this iteration and those that follow, as PADing's forward takes them."""
        for number, images in enumerate(self.images.starting_at(iteration), iteration):
            seed_everything(self.seed, Stream.EMBEDDINGS, number, comm.get_rank())
            found = [self._labelled(part) for part in in_parts(images, self.parts)]
            embeddings, labels = (torch.cat(x) for x in zip(*found, strict=True))
            yield {"embeddings": _of_all(embeddings), "labels": _of_all(labels)}

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


def open_store(cfg: CfgNode, model: PADing) -> EmbeddingStore:
    """The store that stage 2 is to learn from; without MODEL.STORE.PATH the run's own is made.

    Raises:
        InputError: a store that does not fit the model, its data or its settings, or is unfinished.
    """
    extraction = Extraction(cfg, model)
    folder = Path(cfg.MODEL.STORE.PATH or Path(cfg.OUTPUT_DIR) / "embeddings")
    if not cfg.MODEL.STORE.PATH:
        if comm.is_main_process() and not _is_of(folder, extraction.header):
            shutil.rmtree(folder, ignore_errors=True)
        comm.synchronize()
        extraction.write(folder, comm.get_rank(), comm.get_world_size())
        comm.synchronize()
    store = EmbeddingStore(folder, model.split)
    store.header.require(extraction.header, folder)
    logger.info(
        "Stage 2 learns from %s: %d embeddings of %d images x %d augmentations",
        *(folder, len(store.labels), store.header.images, store.header.settings["AUGMENTATIONS"]),
    )
    return store


def _is_of(folder: Path, header: Header) -> bool:
    """Whether the run's own store can be kept; one of an earlier run with other settings cannot."""
    return not (folder / HEADER).exists() or Header.read(folder) == header


def asks_for_store(cfg: CfgNode) -> bool:
    """Whether MODEL.ZERO_SHOT.SOURCE means a store; :func:`uses_stored_embeddings` checks it."""
    source = cfg.MODEL.ZERO_SHOT.SOURCE
    return source == "stored" or (source == "auto" and bool(cfg.MODEL.STORE.PATH))


def with_kept_share(cfg: CfgNode) -> CfgNode:
    """A configuration whose MODEL.STORE.NO_OBJECT_SHARE is that of the store that it names.

    A checkpoint carries it, since it says how many queries a met one stands for.
    """
    if not (uses_stored_embeddings(cfg) and cfg.MODEL.STORE.PATH):
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    settings = Header.read(cfg.MODEL.STORE.PATH).settings
    cfg.MODEL.STORE.NO_OBJECT_SHARE = settings["NO_OBJECT_SHARE"]
    return cfg


def uses_stored_embeddings(cfg: CfgNode) -> bool:
    """Whether stage 2 learns from stored embeddings.

    Raises:
        InputError: MODEL.ZERO_SHOT.SOURCE is none of "auto", "images" and "stored", or
            MODEL.STORE.PATH, where it is used, holds no store, or MODEL.STORE asks for what cannot
            be, or MODEL.ZERO_SHOT.CLASS_BALANCED is to hold where there is no store.
    """
    source, path = cfg.MODEL.ZERO_SHOT.SOURCE, cfg.MODEL.STORE.PATH
    if source not in ("auto", "images", "stored"):
        raise InputError(f'MODEL.ZERO_SHOT.SOURCE is {source!r}; use "auto", "images" or "stored"')
    stored = asks_for_store(cfg)
    if cfg.MODEL.META_ARCHITECTURE != "PADing":
        return False
    if not stored:
        if cfg.MODEL.ZERO_SHOT.CLASS_BALANCED:
            raise InputError(
                "MODEL.ZERO_SHOT.CLASS_BALANCED draws stored embeddings evenly over the classes; "
                "stage 2 would learn from whole images here: set it to False, or "
                "MODEL.ZERO_SHOT.SOURCE to stored"
            )
        return False
    check_store_settings(cfg)
    if path:
        Header.read(path)
    return True
