"""Zero-shot training by folds: every example asks for one class in one image, against "others"."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from pading.data.batches import TrainingBatches, training_entries
from pading.data.images import read_label_map
from pading.data.mappers import SegmentationMapper
from pading.data.masks import IGNORE_LABEL
from pading.errors import InputError
from pading.losses.pixel_cross_entropy import UNLABELLED
from pading.vocabulary.fold_splits import OTHERS
from pading.vocabulary.splits import ClassSplit

PAIR = "pair_class"
"""The key of an example that says which class it asks for."""
_VOID = (255, 65535)


def others_of(split: ClassSplit) -> int:
    """The contiguous index of "others".

    Raises:
        InputError: the split has no such class, or it is unseen.
    """
    if OTHERS not in split.names or split.names.index(OTHERS) in split.unseen:
        raise InputError(
            f"MODEL.LSEG.PAIRS: the class split {split.name!r} has no seen class {OTHERS!r}, which "
            "everything that is not asked for is; take the split of a fold, such as 'pascal_5i_0', "
            "or add that class"
        )
    return split.names.index(OTHERS)


def build_pair_batches(cfg: CfgNode, seed: int, split: ClassSplit) -> TrainingBatches:
    """Batches of SOLVER.IMS_PER_BATCH examples: every (image, class) pair once an epoch.

    Args:
        cfg: the configuration; MODEL.LSEG.LEAVE_OUT_UNSEEN is read.
        seed: of the run.
        split: has "others".

    Raises:
        InputError: no image shows a class that is trained.
    """
    entries = training_entries(cfg)
    pairs = examples(entries, split, cfg.MODEL.LSEG.LEAVE_OUT_UNSEEN)
    if not pairs:
        raise InputError(
            f"DATASETS.TRAIN: no image of {', '.join(cfg.DATASETS.TRAIN)} shows a seen class of "
            f"{split.name!r} other than {OTHERS!r}; nothing can be asked for"
        )
    return TrainingBatches(
        DatasetFromList(pairs, copy=False),
        SegmentationMapper(cfg, is_train=True, learns_from="labels"),
        seed=seed,
        images_per_batch=cfg.SOLVER.IMS_PER_BATCH,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def examples(
    entries: Iterable[dict[str, Any]], split: ClassSplit, leave_out_unseen: bool
) -> list[dict[str, Any]]:
    """An entry for every seen class in every image, with the class under :data:`PAIR`.

    Of a data set with a file of pairs they are those of the file.

    Args:
        entries: Detectron2's dictionaries; unseen classes are ignored in their label maps.
        split: has "others".
        leave_out_unseen: without images that show a class which is ignored.
    """
    asked = set(split.seen) - {others_of(split)}
    found = []
    for entry in tqdm(entries, "classes in the training images", leave=False):
        shown, ignored = classes_shown(entry)
        if not (leave_out_unseen and ignored):
            times = entry.get("asked") or dict.fromkeys(shown & asked, 1)
            labels = Counter(times).elements()
            found += [{**entry, PAIR: label} for label in sorted(labels)]
    return found


def classes_shown(entry: dict[str, Any]) -> tuple[set[int], bool]:
    """What an image's ground truth holds.

    Args:
        entry: with a label map, or segments.

    Returns:
        the contiguous labels, and whether there are classes beside them that the data set ignores
        (void is none). Segments of ignored classes are not in the annotations at all.
    """
    path = entry.get("sem_seg_file_name")
    if path is None:
        return {segment["category_id"] for segment in entry["segments_info"]}, False
    table = np.frombuffer(entry["label_table"], dtype=np.uint16 if IGNORE_LABEL > 255 else np.uint8)
    values = np.unique(read_label_map(path))
    # What the table does not know is refused by name when the image is trained on.
    labels = table[values[~np.isin(values, _VOID) & (values < len(table))]]
    return set(labels[labels != IGNORE_LABEL].tolist()), bool((labels == IGNORE_LABEL).any())


def asked_for(batch: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> Tensor:
    """(B, *size) int64: 1 where the class is that an example asks for, 0 elsewhere in the image.

    Everything else is "others", void and other classes too; padding is UNLABELLED.
    """
    maps = []
    for image in batch:
        labels = (image["sem_seg"] == image[PAIR]).long()
        height, width = labels.shape
        maps.append(F.pad(labels, (0, size[1] - width, 0, size[0] - height), value=UNLABELLED))
    return torch.stack(maps)
