"""Label maps over many processes: finished ones are kept, and none is ever half written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tabulate import tabulate
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

from pading.data.images import check_image, read_label_map
from pading.data.map_manifest import MapManifest, read_manifest, source_digest
from pading.data.masks import IGNORE_LABEL, MOST_CLASSES, narrowed, semantic_labels, widened
from pading.errors import InputError
from pading.files import writing

_CHUNK = 16

Entry = Mapping[str, Any]


def restricted(content: dict[str, Any], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """An annotation file's content with these annotations only, and the images that have one."""
    image_ids = {annotation["image_id"] for annotation in annotations}
    images = [image for image in content["images"] if image["id"] in image_ids]
    return {**content, "images": images, "annotations": annotations}


def with_sizes(entries: Sequence[Entry], workers: int, label: str) -> list[dict[str, Any]]:
    """The entries with height and width of their images, which are decoded for it.

    Raises:
        InputError: an image that is missing or damaged.
    """

    def with_size(entry: Entry) -> dict[str, Any]:
        height, width = check_image(entry["file_name"])
        return {**entry, "height": height, "width": width}

    return thread_map(with_size, entries, desc=label, max_workers=workers)


def make_maps(
    folder: str | Path,
    entries: Sequence[Entry],
    num_classes: int,
    workers: int,
    label: str,
    read: Callable[[Entry], np.ndarray] = semantic_labels,
    class_ids: Sequence[int] = (),
) -> list[tuple[int, ...]]:
    """Write the label map of every entry that has no finished one yet, and say how many.

    A map is made anew when the file or the classes that it was made from have changed since.

    Args:
        folder: where the maps go, named as the entries' label files, or as map_name says.
        entries: of :mod:`pading.data.ground_truth`, with height and width.
        num_classes: values of the maps, which are of 8 bits up to 254 of them, of 16 beyond.
        workers: number of processes.
        label: of the progress bar, and of these maps among others in the folder.
        read: the map of an entry, H x W uint16, IGNORE_LABEL where ignored; importable by name.
        class_ids: what the values stand for, if they are places in a split. Then the folder holds
            nothing else, and maps that no preparation knows are removed.

    Returns:
        the values in each map, without the ignored one.

    Raises:
        InputError: an unreadable file; a value outside the split; too many classes.
    """
    if num_classes > MOST_CLASSES:
        raise InputError(
            f"{folder}: label maps of {num_classes} classes, but one has room for {MOST_CLASSES}; "
            "take a class split with fewer"
        )
    _prepare_folder(Path(folder), entries, workers, label, class_ids)
    job = partial(_make_map, folder, num_classes, read)
    if workers <= 1:
        made = [job(entry) for entry in tqdm(entries, desc=label)]
    else:
        with ProcessPoolExecutor(workers) as pool:
            results = pool.map(job, entries, chunksize=_CHUNK)
            made = list(tqdm(results, desc=label, total=len(entries)))
    written = sum(new for new, _ in made)
    print(f"{folder}: wrote {written} maps, kept {len(made) - written} finished ones")
    return [labels for _, labels in made]


def _prepare_folder(
    folder: Path, entries: Sequence[Entry], workers: int, label: str, class_ids: Sequence[int]
) -> None:
    """Remove maps of other sources, then write what those that are left and to come are made of.

    In this order a run that is killed leaves no map that the manifest takes for another.
    """
    before = read_manifest(folder)
    groups = dict(before.sources) if before and before.values == tuple(class_ids) else {}
    known = {name: digest for group in groups.values() for name, digest in group.items()}
    names = [_map_name(entry) for entry in entries]
    digests = thread_map(source_digest, entries, desc=f"{label}, sources", max_workers=workers)
    groups[label] = dict(zip(names, digests, strict=True))
    now = MapManifest(str(folder), tuple(class_ids), groups)
    kept = {name for name, digest in now.maps.items() if known.get(name) == digest}
    there = folder.rglob("*.[pP][nN][gG]") if class_ids else map(folder.joinpath, names)
    for path in list(there):
        if path.name[0] != "." and str(path.relative_to(folder)) not in kept:
            path.unlink(missing_ok=True)
    now.write()


def _map_name(entry: Entry) -> str:
    source = entry.get("sem_seg_file_name") or entry.get("pan_seg_file_name", "")
    return entry.get("map_name", Path(source).name)


def _make_map(
    folder: str | Path, num_classes: int, read: Callable[[Entry], np.ndarray], entry: Entry
) -> tuple[bool, tuple[int, ...]]:
    target = Path(folder) / _map_name(entry)
    labels = _finished_map(target, (entry["height"], entry["width"]))
    new = labels is None
    if labels is None:
        labels = read(entry)
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


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write a text file, atomically.

    Raises:
        InputError: it cannot be written.
    """
    with writing(path) as temporary:
        Path(temporary).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def print_counts(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Print subset -> what -> number as the table that datasets/README.md is compared with."""
    whats = dict.fromkeys(what for numbers in counts.values() for what in numbers)
    rows = [[what, *(numbers.get(what) for numbers in counts.values())] for what in whats]
    print(tabulate(rows, headers=["", *counts], tablefmt="pipe", intfmt=",", missingval="-"))
