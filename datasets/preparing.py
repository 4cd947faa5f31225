"""What the prepare scripts share: common options, label maps over many processes, count tables."""

import argparse
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tabulate import tabulate
from tqdm import tqdm

from pading.data.catalogue import datasets_root
from pading.data.images import read_label_map
from pading.data.masks import IGNORE_LABEL, MOST_CLASSES, narrowed, semantic_labels, widened
from pading.errors import InputError
from pading.files import writing
from pading.vocabulary.splits import ClassSplit

SUBSETS = ("train", "val")
_CHUNK = 16


def parser(description: str | None, layout: Mapping[str, str]) -> argparse.ArgumentParser:
    """A parser with the options that every script has.

    Args:
        description: the script's docstring.
        layout: what --train and --val name, below the root, each with its default, in which {}
            stands for the subset.
    """
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument(
        "--root", default=os.path.join(datasets_root(), "coco"), help="default: %(default)s"
    )
    result.add_argument(
        "--subsets", nargs="+", choices=SUBSETS, default=list(SUBSETS), help="default: both"
    )
    for subset in SUBSETS:
        result.add_argument(
            f"--{subset}",
            nargs=len(layout),
            metavar=tuple(layout),
            default=[path.format(subset) for path in layout.values()],
            help="where the files are below the root; default: %(default)s",
        )
    return result


def add_split_and_workers(options: argparse.ArgumentParser, split: str) -> None:
    """The options of the scripts that make label maps.

    Args:
        options: where to add them.
        split: the default class split.
    """
    options.add_argument(
        "--split",
        default=split,
        help="a shipped class split or a .json file; default: %(default)s",
    )
    options.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes; default: %(default)s"
    )


def restricted(content: dict[str, Any], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """An annotation file's content with these annotations only, and the images that have one."""
    image_ids = {annotation["image_id"] for annotation in annotations}
    images = [image for image in content["images"] if image["id"] in image_ids]
    return {**content, "images": images, "annotations": annotations}


def make_maps(
    folder: str, entries: Sequence[Mapping[str, Any]], split: ClassSplit, workers: int, label: str
) -> list[tuple[int, ...]]:
    """Write the semantic map of every entry that has no finished one yet, and say how many.

    Args:
        folder: where the maps go, named as the entries' label files.
        entries: of :mod:`pading.data.ground_truth`, with height and width.
        split: the classes; maps are of 8 bits up to 254 classes, of 16 beyond.
        workers: number of processes.
        label: of the progress bar.

    Returns:
        the contiguous labels in each map.

    Raises:
        InputError: an unreadable file; a value outside the split; too many classes.
    """
    if split.num_classes > MOST_CLASSES:
        raise InputError(
            f"class split {split.name!r} has {split.num_classes} classes, "
            f"but a label map has room for {MOST_CLASSES}"
        )
    job = partial(_make_map, folder, split.num_classes)
    if workers <= 1:
        made = [job(entry) for entry in tqdm(entries, desc=label)]
    else:
        with ProcessPoolExecutor(workers) as pool:
            results = pool.map(job, entries, chunksize=_CHUNK)
            made = list(tqdm(results, desc=label, total=len(entries)))
    written = sum(new for new, _ in made)
    print(f"{folder}: wrote {written} maps, kept {len(made) - written} finished ones")
    return [labels for _, labels in made]


def _make_map(
    folder: str, num_classes: int, entry: Mapping[str, Any]
) -> tuple[bool, tuple[int, ...]]:
    source = entry.get("sem_seg_file_name") or entry["pan_seg_file_name"]
    target = Path(folder) / Path(source).name
    labels = _finished_map(target, (entry["height"], entry["width"]))
    new = labels is None
    if labels is None:
        labels = semantic_labels(entry)
        with writing(target) as temporary:
            Image.fromarray(narrowed(labels, num_classes)).save(temporary)
    return new, tuple(int(v) for v in np.unique(labels) if v != IGNORE_LABEL)


def _finished_map(path: Path, size: tuple[int, int]) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        labels = widened(read_label_map(str(path)))
    except InputError:
        return None  # damaged since: to be made anew
    return labels if labels.shape == size else None


def print_counts(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Print subset -> what -> number as the table that datasets/README.md is compared with."""
    whats = dict.fromkeys(what for numbers in counts.values() for what in numbers)
    rows = [[what, *(numbers.get(what) for numbers in counts.values())] for what in whats]
    print(tabulate(rows, headers=["", *counts], tablefmt="pipe", intfmt=",", missingval="-"))
