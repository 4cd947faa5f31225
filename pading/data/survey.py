"""A whole data set walked through: everything that is wrong with it, not just the first fault."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from pading.data.catalogue import load_entries, metadata_of
from pading.data.dataset_checks import check_entry_image
from pading.data.declared import area_differs, instance_differs, read_declared
from pading.data.entry_files import list_tree, stem_of
from pading.data.masks import (
    IGNORE_LABEL,
    instance_masks,
    panoptic_faults,
    panoptic_ids,
    semantic_labels,
)
from pading.data.orientation import turned_in_secret
from pading.data.scored_instances import check_scored_instances
from pading.data.spec import DatasetSpec
from pading.errors import InputError, Kind
from pading.vocabulary.splits import ClassSplit

Fault = tuple[Kind, str]
_KINDS: tuple[Kind, ...] = ("missing", "corrupt", "empty", "outside the split", "inconsistent")


@dataclass
class Survey:
    """What a data set holds and what is wrong with it.

    Args:
        name: of the data set.
        spec: its files.
        split: its classes.
        errors: kind -> messages; training or evaluation would stop there, or go wrong.
        notes: heading -> messages; what is worth a look.
        entries: the dictionaries without a fault, with height and width.
        segments: contiguous label -> segments (semantic: images) that show it.
        shown: image file -> label -> pixels of each of its segments.
    """

    name: str
    spec: DatasetSpec
    split: ClassSplit
    errors: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)
    segments: Counter[int] = field(default_factory=Counter)
    shown: dict[str, dict[int, list[int]]] = field(default_factory=dict)


def survey(name: str) -> Survey:
    """Read every file of a registered data set.

    Raises:
        InputError: it is not registered.
    """
    metadata = metadata_of(name)
    result = Survey(name, metadata.spec, metadata.split)
    errors: dict[Kind, list[str]] = defaultdict(list)
    empty: list[str] = []

    def note(error: InputError) -> None:
        errors[error.kind].append(str(error))

    entries = _load(result.spec, result.split, note)
    if result.spec.instances:
        known = {_culprit(message) for message in errors["missing"]}

        def unless_known(error: InputError) -> None:
            if _culprit(str(error)) not in known:
                note(error)

        _attempt(
            lambda: check_scored_instances(
                result.spec, result.split, None if errors else entries, unless_known
            ),
            note,
        )
    declared, names = read_declared(result.spec, result.split)
    differing: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        walked = pool.map(
            lambda e: _walk(e, result.split, declared.get(e["image_id"], {})), entries
        )
        for entry, pixels, faults, nothing, other in tqdm(
            walked, name, len(entries), unit=" images"
        ):
            differing.extend(other)
            result.segments.update({label: len(areas) for label, areas in pixels.items()})
            result.shown[entry["file_name"]] = pixels
            empty.extend(nothing)
            for kind, message in faults:
                errors[kind].append(message)
            if not faults:
                result.entries.append(entry)
        turned = [said for said in pool.map(turned_in_secret, result.entries) if said]
    result.errors = {kind: errors[kind] for kind in _KINDS if errors[kind]}
    absent = [
        info.name
        for label, info in enumerate(result.split.classes)
        if not result.segments[label]
        and not (result.spec.seen_only and info.unseen)
        and (result.spec.task != "instance" or info.isthing)
    ]
    notes = {
        "categories of other names": names,
        "declared values that differ": differing,
        "images that EXIF turns": turned,
        "empty": empty,
        "classes that never occur": absent,
        "images without a label map": _unlabelled(result.spec),
    }
    result.notes = {heading: found for heading, found in notes.items() if found}
    return result


def _culprit(message: str) -> str:
    """The file that a message begins with: two annotation files may name one that is missing."""
    return message.partition(": ")[0]


def _load(
    spec: DatasetSpec, split: ClassSplit, note: Callable[[InputError], None]
) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    _attempt(lambda: entries.extend(load_entries(spec, split, note)), note)
    return entries


def _attempt(load: Callable[[], None], note: Callable[[InputError], None]) -> None:
    try:
        load()
    except InputError as error:  # nothing can be read
        note(error)


def _walk(
    entry: dict[str, Any], split: ClassSplit, declared: Mapping[Any, Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[int, list[int]], list[Fault], list[str], list[str]]:
    """An entry, pixels of the segments of each label, faults, what is empty, what differs."""
    differing: list[str] = []
    segments: dict[int, list[int]] = defaultdict(list)
    faults: list[Fault] = []
    empty: list[str] = []
    try:
        entry = check_entry_image(entry)
        for label, pixels, fault in _SEGMENTS[entry["task"]](entry, declared, differing):
            if fault:
                faults.append(fault)
            elif pixels:
                segments[label].append(pixels)
            else:
                name = split.names[label]
                empty.append(f"{entry['file_name']}: a segment of {name!r} without a pixel")
    except InputError as error:
        faults.append((error.kind, str(error)))
    if not segments and not faults:
        empty.append(f"{entry['file_name']}: no annotated pixel")
    return entry, segments, faults, empty, [f"{entry['file_name']}: {what}" for what in differing]


Segments = Iterator[tuple[int, int, Fault | None]]
"""Label, number of pixels and fault of every segment of an entry."""


Entries = Mapping[Any, Mapping[str, Any]]


def _panoptic_segments(entry: dict[str, Any], declared: Entries, differing: list[str]) -> Segments:
    ids, counts = np.unique(panoptic_ids(entry), return_counts=True)
    pixels = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    for segment in entry["segments_info"]:
        if segment["id"] in pixels:
            found = area_differs(declared.get(segment["id"], {}), pixels[segment["id"]])
            differing += (f"segment {segment['id']}: {what}" for what in found)
            yield segment["category_id"], pixels[segment["id"]], None
    for fault in panoptic_faults(entry, pixels):
        yield -1, 0, (fault.kind, str(fault))


def _instance_segments(entry: dict[str, Any], declared: Entries, differing: list[str]) -> Segments:
    for annotation in entry["annotations"]:
        if annotation["iscrowd"]:
            continue
        try:
            [mask] = instance_masks({**entry, "annotations": [annotation]})
        except InputError as error:
            yield -1, 0, (error.kind, str(error))
        else:
            found = instance_differs(declared.get(annotation["id"], {}), annotation, mask)
            differing += (f"annotation {annotation['id']}: {what}" for what in found)
            yield annotation["category_id"], int(np.count_nonzero(mask)), None


def _semantic_segments(entry: dict[str, Any], _: Entries, __: list[str]) -> Segments:
    labels, counts = np.unique(semantic_labels(entry), return_counts=True)
    for label, pixels in zip(labels.tolist(), counts.tolist(), strict=True):
        if label != IGNORE_LABEL:
            yield label, pixels, None


_SEGMENTS = {
    "panoptic": _panoptic_segments,
    "instance": _instance_segments,
    "semantic": _semantic_segments,
}


def _unlabelled(spec: DatasetSpec) -> list[str]:
    """Images that have no label map, which alone says what a semantic data set holds."""
    if spec.task != "semantic" or spec.annotations:
        return []
    if spec.list or spec.pairs or not all(map(os.path.isdir, (spec.images, spec.labels))):
        # A list leaves images out on purpose; what it names and lacks is reported on loading.
        return []
    images = {stem_of(name): name for name in list_tree(spec.images)}
    maps = {stem_of(name) for name in list_tree(spec.labels) if name.lower().endswith(".png")}
    return sorted(
        images[stem] for stem in images.keys() - maps if images[stem].endswith(spec.image_suffix)
    )
