"""Checks of the configured data sets before any long work."""

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from tqdm import tqdm

from pading.data.catalogue import configured_split, metadata_of, split_of
from pading.data.images import check_image, require_size
from pading.data.masks import IGNORE_LABEL, instance_masks, panoptic_faults, semantic_labels
from pading.data.orientation import turned_in_secret
from pading.data.scored_instances import check_scored_instances
from pading.data.tasks import check_tasks, tasks_of
from pading.errors import InputError
from pading.vocabulary.splits import ClassSplit

_logger = logging.getLogger(__name__)
_CHUNK = 256
_GOLDEN = (5**0.5 - 1) / 2


def check_datasets(
    cfg: CfgNode, training: bool, seconds: float = 60.0, unseen: bool = False
) -> None:
    """Check the data sets of DATASETS.TRAIN (when training) and DATASETS.TEST.

    Names, class splits, annotation files and the existence of every file are checked in full.
    Images and label maps are decoded for at most ``seconds``, evenly spread over the data sets if
    that is not enough for all; the mapper names one that turns out unreadable later.

    Args:
        cfg: the configuration; its data sets must have been registered.
        training: whether DATASETS.TRAIN is going to be used.
        seconds: the time to spend on decoding.
        unseen: whether training may see unseen classes.

    Raises:
        InputError: whatever does not fit; the message names the culprit.
    """
    names = check_names(cfg, training, unseen)
    entries = {name: DatasetCatalog.get(name) for name in names}
    for name in cfg.DATASETS.TEST if tasks_of(cfg)["instance"] else ():
        metadata = metadata_of(name)
        if metadata.spec.instances:
            check_scored_instances(metadata.spec, metadata.split, entries[name])
    train = cfg.DATASETS.TRAIN if training else ()
    if training and not any(_teaches(entry) for name in train for entry in entries[name]):
        raise InputError(
            f"DATASETS.TRAIN: {', '.join(map(repr, train))} holds images without a segment or a "
            "labelled pixel alone (crowds and ignored pixels teach nothing); train on images that "
            "have some"
        )
    _check_readable(list(chain.from_iterable(entries.values())), seconds)


def check_names(cfg: CfgNode, training: bool, unseen: bool = False) -> tuple[str, ...]:
    """The data sets of DATASETS.TRAIN (when training) and DATASETS.TEST, each once.

    Args:
        cfg: the configuration; its data sets must have been registered.
        training: whether DATASETS.TRAIN is going to be used.
        unseen: whether training may see unseen classes.

    Raises:
        InputError: none, one that is not registered, different class splits, or training on one
            that may hold unseen classes.
    """
    train = tuple(cfg.DATASETS.TRAIN) if training else ()
    if training and not train:
        raise InputError("DATASETS.TRAIN is empty; name the data set to train on")
    names = tuple(dict.fromkeys((*train, *cfg.DATASETS.TEST)))
    split = configured_split(cfg) if cfg.DATASETS.OWN_LABELS else split_of(names)
    if training and not split.seen:
        raise InputError(
            f"class split {split.name!r} has no seen class, so nothing can be trained; "
            'declare at least one class "unseen": false'
        )
    check_tasks(cfg, train, cfg.DATASETS.TEST)
    for name in train:
        own: ClassSplit = metadata_of(name).split
        if own.num_unseen and not unseen and not metadata_of(name).seen_only:
            raise InputError(
                f"DATASETS.TRAIN: {name!r} may hold unseen classes of {own.name!r}; train on a "
                "data set that is declared seen_only (datasets/README.md says how to prepare one)"
            )
    return names


def _teaches(entry: dict[str, Any]) -> bool:
    """Whether there is something to learn from an image."""
    segments = entry.get("segments_info", entry.get("annotations"))
    if segments is None:
        return bool((semantic_labels(check_entry_image(entry)) != IGNORE_LABEL).any())
    return any(not segment["iscrowd"] for segment in segments)


def _check_readable(entries: list[dict[str, Any]], seconds: float) -> None:
    # Multiples of the golden ratio modulo 1 are evenly spread wherever one stops.
    deadline = time.monotonic() + seconds
    spread = sorted(range(len(entries)), key=lambda i: (i * _GOLDEN) % 1.0)
    checked = 0
    turned: list[str] = []
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(entries), desc="checking images", delay=2.0) as bar,
    ):
        for start in range(0, len(spread), _CHUNK):
            chunk = [entries[i] for i in spread[start : start + _CHUNK]]
            for said in pool.map(check_entry, chunk):
                checked += 1
                bar.update()
                turned += [said] * bool(said)
            if time.monotonic() > deadline:
                break
    _logger.info("%d of %d images and their label maps decode without fault", checked, len(entries))
    if turned:
        _logger.warning("%s (%d such images; pading check-data lists them)", turned[0], len(turned))


def check_entry(entry: dict[str, Any]) -> str:
    """Decode an entry's image and its masks; what :func:`turned_in_secret` says of it.

    Raises:
        InputError: an unreadable file, one of the wrong size; a value outside the class split;
            segments that a panoptic PNG and its annotation disagree on; a broken mask.
    """
    entry = check_entry_image(entry)
    if entry["task"] == "semantic":
        semantic_labels(entry)
    elif entry["task"] == "panoptic":
        for fault in panoptic_faults(entry):
            raise fault
    else:
        instance_masks(entry)
    return turned_in_secret(entry)


def check_entry_image(entry: dict[str, Any]) -> dict[str, Any]:
    """Decode an entry's image; the entry, with height and width.

    Raises:
        InputError: an unreadable image, or one of another size than annotated.
    """
    path = entry["file_name"]
    size = check_image(path)
    entry = {"height": size[0], "width": size[1], **entry}
    require_size(path, size, (entry["height"], entry["width"]), "its annotation")
    return entry
