"""Stage 2 from stored embeddings: the frozen segmenter sees the training set once."""

from collections.abc import Iterator

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, MapDataset, get_detection_dataset_dicts
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from pading.data.mappers import SegmentationMapper
from pading.errors import InputError
from pading.modeling.pading import PADing


class StoredEmbeddings:
    """Endless batches of labelled embeddings, drawn with replacement by image.

    The embeddings are collected when the first batch is asked for, that is, after the weights have
    been loaded, and held in memory: 4 * Q * C bytes for an image (0.1 MB at the published size), so
    this is for data sets of thousands of images. Every process holds and draws from a share.
    """

    def __init__(self, cfg: CfgNode, model: PADing) -> None:
        self.model = model
        self.images_per_batch = max(cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size(), 1)
        entries = get_detection_dataset_dicts(
            cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
        )
        self.images = DataLoader(
            MapDataset(DatasetFromList(entries), SegmentationMapper(cfg, is_train=True)),
            batch_size=self.images_per_batch,
            sampler=InferenceSampler(len(entries)),
            num_workers=cfg.DATALOADER.NUM_WORKERS,
            collate_fn=list,
        )

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Batches of ``embeddings`` (R, C) and ``labels`` (R,), as PADing's forward takes them."""
        embeddings, labels = self._collect()
        while True:
            drawn = torch.randint(len(embeddings), (self.images_per_batch,))
            yield {
                "embeddings": embeddings[drawn].flatten(0, 1),
                "labels": labels[drawn].flatten(),
            }

    def _collect(self) -> tuple[Tensor, Tensor]:
        """(images, Q, C) embeddings and (images, Q) labels, on the model's device."""
        found = [
            [x.unflatten(0, (len(batch), -1)) for x in self.model.labelled_embeddings(batch)]
            for batch in tqdm(self.images, "embeddings", disable=not comm.is_main_process())
        ]
        embeddings, labels = zip(*found, strict=True)
        return torch.cat(embeddings), torch.cat(labels)


def uses_stored_embeddings(cfg: CfgNode) -> bool:
    """Whether stage 2 learns from stored embeddings.

    Raises:
        InputError: MODEL.ZERO_SHOT.SOURCE is neither "images" nor "stored".
    """
    source = cfg.MODEL.ZERO_SHOT.SOURCE
    if source not in ("images", "stored"):
        raise InputError(f'MODEL.ZERO_SHOT.SOURCE is {source!r}; use "images" or "stored"')
    return cfg.MODEL.META_ARCHITECTURE == "PADing" and source == "stored"
