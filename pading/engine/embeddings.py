"""Stage 2 from stored embeddings: the frozen segmenter sees the training set once."""

from collections.abc import Iterator

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from pading.data.batches import SeededSamples, share_of_batch, training_entries
from pading.data.mappers import SegmentationMapper
from pading.data.randomness import Stream, generator, seed_everything
from pading.errors import InputError
from pading.modeling.pading import PADing


class StoredEmbeddings:
    """Endless batches of labelled embeddings, drawn with replacement by image.

    The embeddings are collected when the first batch is asked for, that is, after the weights have
    been loaded, and held in memory: 4 * Q * C bytes for an image (0.1 MB at the published size), so
    this is for data sets of thousands of images. Every process collects a share and holds all, so
    that what is drawn does not depend on their number. What is collected and drawn depends on the
    seed alone: a resumed run collects the same embeddings again.
    """

    def __init__(self, cfg: CfgNode, model: PADing, seed: int) -> None:
        """
        Args:
            cfg: DATASETS.TRAIN, DATALOADER, SOLVER.IMS_PER_BATCH and INPUT are read.
            model: labels the embeddings.
            seed: of the run; may be set until the first batch is asked for.
        """
        self.model, self.seed = model, seed
        self.images_per_batch = cfg.SOLVER.IMS_PER_BATCH
        self.share = share_of_batch(self.images_per_batch)
        self.num_workers = cfg.DATALOADER.NUM_WORKERS
        self.entries = DatasetFromList(training_entries(cfg), copy=False)
        self.mapper = SegmentationMapper(cfg, is_train=True)

    def starting_at(self, iteration: int) -> Iterator[dict[str, Tensor]]:
        """The batches of this iteration and those that follow.

        Each holds ``embeddings`` (R, C) and ``labels`` (R,), as PADing's forward takes them.
        """
        embeddings, labels = self._collect()
        while True:
            draw = generator(self.seed, Stream.ORDER, iteration)
            numbers = draw.integers(len(embeddings), size=self.images_per_batch)[self.share]
            drawn = torch.from_numpy(numbers).to(embeddings.device)
            yield {
                "embeddings": embeddings[drawn].flatten(0, 1),
                "labels": labels[drawn].flatten(),
            }
            iteration += 1

    def _collect(self) -> tuple[Tensor, Tensor]:
        """(images, Q, C) embeddings and (images, Q) labels, on the model's device."""
        mine = [(number,) for number in InferenceSampler(len(self.entries))]
        size = self.share.stop - self.share.start
        batches = [mine[i : i + size] for i in range(0, len(mine), size)]
        images = DataLoader(
            SeededSamples(self.entries, self.mapper, self.seed),
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=list,
        )
        found = []
        progress = tqdm(images, "embeddings", disable=not comm.is_main_process())
        for places, batch in zip(batches, progress, strict=True):
            seed_everything(self.seed, Stream.EMBEDDINGS, *places[0])
            labelled = self.model.labelled_embeddings(batch)
            found.append([x.unflatten(0, (len(batch), -1)) for x in labelled])
        shares = comm.all_gather([torch.cat(x).cpu() for x in zip(*found, strict=True)])
        # A process without images has nothing to give.
        embeddings, labels = (torch.cat(x) for x in zip(*filter(len, shares), strict=True))
        return embeddings.to(self.model.device), labels.to(self.model.device)


def uses_stored_embeddings(cfg: CfgNode) -> bool:
    """Whether stage 2 learns from stored embeddings.

    Raises:
        InputError: MODEL.ZERO_SHOT.SOURCE is neither "images" nor "stored".
    """
    source = cfg.MODEL.ZERO_SHOT.SOURCE
    if source not in ("images", "stored"):
        raise InputError(f'MODEL.ZERO_SHOT.SOURCE is {source!r}; use "images" or "stored"')
    return cfg.MODEL.META_ARCHITECTURE == "PADing" and source == "stored"
