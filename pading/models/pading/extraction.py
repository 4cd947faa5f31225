"""One pass of the frozen segmenter over the training set: what fills a store of embeddings."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from pading.data.batches import SeededSamples, training_entries
from pading.data.mappers import SegmentationMapper
from pading.errors import InputError
from pading.layers.packed import pytorchs_own_layers
from pading.layers.precision import amp_dtype, autocast
from pading.models.pading.embedding_store import (
    DTYPES,
    Header,
    content_checksum,
    segmenter_checksum,
    shard_path,
    write_shard,
)
from pading.randomness import Stream, generator, seed_everything
from pading.vocabulary.splits import ClassSplit

if TYPE_CHECKING:  # the model asks for its store
    from pading.models.pading.stage_two import PADing

logger = logging.getLogger(__name__)

# What decides which pixels the segmenter sees, and which query is matched to which segment.
_INPUT_KEYS = ("AUGMENTATION", "IMAGE_SIZE", "MIN_SCALE", "MAX_SCALE", "FORMAT", "RANDOM_FLIP")
_SEMANTIC_KEYS = ("BASE_SIZE", "CROP_SIZE", "MAX_CLASS_SHARE", "PHOTOMETRIC_DISTORTION")
_MEANS = "MODEL.ZERO_SHOT.BACKBONE_FEATURES"
_LOSS_KEYS = ("CLASS_WEIGHT", "MASK_WEIGHT", "DICE_WEIGHT", "NUM_POINTS")


def input_of(cfg: CfgNode) -> dict[str, Any]:
    """What decides which embeddings a segmenter has of an image, and their labels, by key."""
    keys = (*_INPUT_KEYS, *(_SEMANTIC_KEYS if cfg.INPUT.AUGMENTATION == "semantic" else ()))
    return {
        **{f"INPUT.{key}": _listed(cfg.INPUT[key]) for key in keys},
        **{f"MODEL.SEGMENTER.LOSS.{key}": cfg.MODEL.SEGMENTER.LOSS[key] for key in _LOSS_KEYS},
        _MEANS: list(cfg.MODEL.ZERO_SHOT.BACKBONE_FEATURES),
    }


def settings_of(cfg: CfgNode) -> dict[str, Any]:
    """How a store is made: MODEL.STORE, and what the numbers hang on besides."""
    return {
        **{key: value for key, value in cfg.MODEL.STORE.items() if key != "PATH"},
        "SEED": max(cfg.SEED, 0),
        "IMS_PER_BATCH": cfg.SOLVER.IMS_PER_BATCH,
        "AMP": str(amp_dtype(cfg) or torch.float32).removeprefix("torch."),
    }


class Extraction:
    """A store to be made: its header, and the passes that fill its shards.

    The content of a shard depends on the header alone: augmentations are seeded per image and
    augmentation, matching per batch, and batches do not cross shards. So a store that was
    interrupted, or made by many processes, equals one that was made in one go (on one kind of
    device with one number of threads, which decide the rounding).
    """

    def __init__(self, cfg: CfgNode, model: "PADing") -> None:
        """
        Args:
            cfg: MODEL.STORE says how, DATASETS.TRAIN of what.
            model: with its weights loaded.
        """
        self.cfg, self.model = cfg, model
        everything = training_entries(cfg)
        split = model.split
        settings = settings_of(cfg)
        self.amp_dtype = amp_dtype(cfg)
        self.entries = stored_entries(everything, settings)
        self.lost: list[str] = []
        """Classes of the training set of which MODEL.STORE.IMAGES leaves no segment."""
        if len(self.entries) < len(everything):
            lost = _classes(everything) - _classes(self.entries)
            self.lost = sorted(split.names[k] for k in lost)
        self.header = Header(
            weights=segmenter_checksum(model),
            classes=sorted(split.names[i] for i in split.seen),
            data_sets=list(cfg.DATASETS.TRAIN),
            data=content_checksum([_content(entry, split) for entry in everything]),
            input=input_of(cfg),
            settings=settings,
            images=len(self.entries),
            width=model.width,
        )
        self.mapper = SegmentationMapper(cfg, is_train=True)

    def estimated_bytes(self) -> int:
        """Size of the finished store; semantic images count as if every query were matched."""
        queries = self.cfg.MODEL.SEGMENTER.NUM_QUERIES
        share = self.header.settings["NO_OBJECT_SHARE"]
        rows = 0.0
        for entry in self.entries:
            segments = _segments(entry)
            matched = queries if segments is None else min(len(segments), queries)
            rows += matched + share * (queries - matched)
        itemsize = DTYPES[self.header.settings["DTYPE"]].itemsize
        row = self.header.width * itemsize + torch.int16.itemsize
        return round(rows * self.header.settings["AUGMENTATIONS"] * row)

    def write(self, folder: str | Path, part: int = 0, parts: int = 1) -> None:
        """Make the shards ``part``, ``part + parts``, ... that are not there yet.

        Raises:
            InputError: the folder holds the store of something else; too little room; the
                segmenter's numbers are not finite.
        """
        folder = Path(folder)
        if (folder / "header.json").exists():
            there = Header.read(folder)
            there.require(self.header, folder)
            if there.settings != self.header.settings:
                raise InputError(
                    f"{folder}: it holds a store made with other settings ({there.settings}, now "
                    f"{self.header.settings}); name another folder"
                )
        else:
            self.header.write(folder)
        shards = self.header.shard_items()[part::parts]
        numbers = range(part, len(self.header.shard_items()), parts)
        left = [(n, s) for n, s in zip(numbers, shards, strict=True) if not _there(folder, n)]
        size = self.estimated_bytes()
        needed = size * sum(len(items) for _, items in left) / max(self.header.items, 1)
        room = shutil.disk_usage(folder).free
        logger.info(
            "%s: %d images x %d augmentations, about %.1f MB in all; %d of %d shards to make",
            *(folder, self.header.images, self.header.settings["AUGMENTATIONS"]),
            *(size / 1e6, len(left), len(shards)),
        )
        if self.lost and part == 0:
            logger.warning(
                "MODEL.STORE.IMAGES %d: no segment of %s is among them, so stage 2 learns nothing "
                "more of these classes; take more images, or another SEED",
                *(self.header.images, ", ".join(self.lost)),
            )
        if needed > room:
            raise InputError(
                f"{folder}: about {needed / 1e9:.1f} GB are needed and {room / 1e9:.1f} GB free; "
                "make room, or lower MODEL.STORE.AUGMENTATIONS or NO_OBJECT_SHARE"
            )
        total = sum(len(items) for _, items in left)
        with tqdm(total=total, desc="embeddings", disable=part > 0 or not total) as bar:
            for number, items in left:
                write_shard(shard_path(folder, number), *self._shard(items, bar))

    @torch.no_grad()
    @pytorchs_own_layers()
    def _shard(self, items: range, bar: tqdm) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings, labels and counts of some items."""
        settings = self.header.settings
        size, seed = settings["IMS_PER_BATCH"], settings["SEED"]
        # Augmentation and image of each item; its random numbers come from them.
        places = [divmod(item, len(self.entries)) for item in items]
        batches = [places[i : i + size] for i in range(0, len(places), size)]
        loader = DataLoader(
            SeededSamples(DatasetFromList(self.entries, copy=False), self.mapper, seed),
            batch_sampler=batches,
            num_workers=self.cfg.DATALOADER.NUM_WORKERS,
            collate_fn=list,
        )
        # From the split's classes to places in the header's list; no-object is last in both.
        split = self.model.split
        stored = torch.full((split.num_classes + 1,), len(self.header.classes))
        stored[[split.names.index(name) for name in self.header.classes]] = torch.arange(
            len(self.header.classes)
        )
        embeddings, labels, counts = [], [], []
        for (first, *_), batch in zip(batches, loader, strict=True):
            seed_everything(seed, Stream.EMBEDDINGS, *first)
            try:
                with autocast(self.model.device, self.amp_dtype):
                    found, found_labels = self.model.labelled_embeddings(batch)
            except FloatingPointError as error:
                names = ", ".join(image["file_name"] for image in batch)
                raise InputError(f"{error}, with the images {names}") from error
            found_labels = stored[found_labels.cpu()].unflatten(0, (len(batch), -1))
            kept = found_labels < len(self.header.classes)
            kept |= torch.rand(kept.shape) < settings["NO_OBJECT_SHARE"]
            embeddings.append(found.cpu()[kept.flatten()].to(DTYPES[settings["DTYPE"]]))
            labels.append(found_labels[kept].short())
            counts.append(kept.sum(1).int())
            bar.update(len(batch))
        return torch.cat(embeddings), torch.cat(labels), torch.cat(counts)


def stored_entries(
    entries: list[dict[str, Any]], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Those of a training set's entries that a store with such settings is made of, in order.

    Raises:
        InputError: more than there are.
    """
    count = settings.get("IMAGES", 0)  # which older stores do not have
    if count > len(entries):
        raise InputError(
            f"MODEL.STORE.IMAGES is {count}, and the training set has {len(entries)} images; "
            "0 takes them all"
        )
    if not count:
        return entries
    random = generator(settings["SEED"], Stream.SAMPLE)
    return [entries[n] for n in sorted(random.choice(len(entries), count, replace=False))]


def _listed(value: Any) -> Any:
    """A value as it comes back out of JSON."""
    return list(value) if isinstance(value, tuple) else value


def _classes(entries: list[dict[str, Any]]) -> set[int]:
    """That occur, where entries list their segments (label maps alone do not)."""
    return {s["category_id"] for entry in entries for s in _segments(entry) or ()}


def _segments(entry: dict[str, Any]) -> list[dict[str, Any]] | None:
    segments: list[dict[str, Any]] | None = entry.get("segments_info", entry.get("annotations"))
    return segments


def _content(entry: dict[str, Any], split: ClassSplit) -> list:
    """What an entry shows: file, id, and its segments' ids and classes by name."""
    segments = _segments(entry) or []
    shown = [[s.get("id"), split.names[s["category_id"]], s.get("bbox")] for s in segments]
    return [Path(entry["file_name"]).name, entry["image_id"], shown]


def _there(folder: Path, shard: int) -> bool:
    return shard_path(folder, shard).is_file()
