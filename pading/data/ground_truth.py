"""From annotation files on disk to Detectron2's list of dictionaries, checked on the way.

Each loader takes a :class:`~pading.data.spec.DatasetSpec` with absolute paths and the data set's
class split. Every dictionary has task, file_name and image_id; :mod:`pading.data.masks` reads
the masks. What does not fit is an InputError that names file and entry, handed to ``on_error``,
which by default raises it; if it returns, the entry is left out.
"""

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

from pading.data.annotation_checks import (
    below,
    category_of,
    check_box,
    check_categories,
    check_image_id,
    check_segmentation,
    crowd_flag,
    read_segments,
)
from pading.data.entry_files import (
    Entry,
    OnError,
    each,
    list_folder,
    list_tree,
    raise_error,
    stem_of,
    with_files,
)
from pading.data.image_lists import named_maps, read_image_list, read_pairs
from pading.data.map_manifest import check_maps
from pading.data.masks import label_table
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.files import field, look_alike, read_json
from pading.vocabulary.splits import ClassSplit

_logger = logging.getLogger(__name__)


def load_panoptic(
    spec: DatasetSpec, split: ClassSplit, on_error: OnError = raise_error
) -> list[Entry]:
    """COCO's panoptic format: a JSON file and a folder of PNGs.

    Returns:
        one dictionary per annotated image, with height, width, pan_seg_file_name and
        segments_info, a list of {id, category_id (contiguous), iscrowd, isthing}.

    Raises:
        InputError: a missing folder, file or image; malformed JSON; a repeated image or segment;
            a category outside the split; an unseen class in a seen-only data set.
    """
    content = read_json(spec.annotations, spec.remedy)
    return parse_panoptic(content, spec, split, on_error)


def parse_panoptic(
    content: Any, spec: DatasetSpec, split: ClassSplit, on_error: OnError = raise_error
) -> list[Entry]:
    """:func:`load_panoptic` of an annotation file that has been read already."""
    path = spec.annotations
    images = _images_by_id(content, path, spec.images)
    _compare_categories(content, split, path)
    annotated: set[int | str] = set()

    def parse(number: int, annotation: Any) -> Entry:
        image_id = field(annotation, "image_id", (int, str), f"{path}: annotation {number}")
        where = f"{path}: annotation of image {image_id}"
        if image_id not in images:
            raise InputError(f"{where}: the file lists no image of this id")
        if image_id in annotated:
            raise InputError(f"{where}: the image has two annotations; remove one")
        annotated.add(image_id)
        label_file = field(annotation, "file_name", str, where)
        return {
            **_image_entry(images[image_id], spec),
            "pan_seg_file_name": below(spec.labels, label_file, where),
            "segments_info": _segments(annotation, spec, split, where),
        }

    entries = list(each(field(content, "annotations", list, path), parse, on_error))
    return with_files(entries, path, on_error)


def load_instances(
    spec: DatasetSpec, split: ClassSplit, on_error: OnError = raise_error
) -> list[Entry]:
    """COCO's instance format: one JSON file.

    Returns:
        one dictionary per image of the file, annotated or not, with height, width and annotations,
        a list of {id, category_id (contiguous), iscrowd, segmentation (polygons or RLE)}; none
        where nothing is annotated.

    Raises:
        InputError: as :func:`load_panoptic`; a segmentation that is neither polygons nor RLE.
    """
    path = spec.annotations
    content = read_json(path, spec.remedy)
    images = _images_by_id(content, path, spec.images)
    _compare_categories(content, split, path)
    met: set[int] = set()
    degenerate: list[str] = []
    entries = {i: {**_image_entry(image, spec), "annotations": []} for i, image in images.items()}

    def parse(number: int, annotation: Any) -> None:
        number = field(annotation, "id", int, f"{path}: entry {number}")
        where = f"{path}: annotation {number}"
        if number in met:
            raise InputError(
                f"{where}: the id {number} occurs twice; give every annotation its own"
            )
        met.add(number)
        image_id = field(annotation, "image_id", (int, str), where)
        if image_id not in images:
            raise InputError(f"{where}: the file lists no image of the id {image_id}")
        size = [images[image_id]["height"], images[image_id]["width"]]
        check_box(annotation, size, where)
        segmentation = check_segmentation(annotation, size, where)
        if not segmentation:
            degenerate.append(where)
            return
        entries[image_id]["annotations"].append(
            {
                "id": number,
                "category_id": _contiguous(annotation, spec, split, where),
                "iscrowd": crowd_flag(annotation, where),
                "segmentation": segmentation,
            }
        )

    annotations = field(content, "annotations", list, path)
    if not annotations:
        return []  # of images alone nothing is learned or scored
    for _ in each(annotations, parse, on_error):
        pass
    if degenerate:
        _logger.warning(
            "%s has only polygons of fewer than three corners and is left out, as are %d others",
            degenerate[0],
            len(degenerate) - 1,
        )
    return with_files(list(entries.values()), path, on_error)


def _compare_categories(content: Any, split: ClassSplit, path: str) -> None:
    notes = check_categories(content, split, path)
    if notes:
        _logger.warning("%s (%d such categories)", notes[0], len(notes))


def load_semantic(
    spec: DatasetSpec, split: ClassSplit, on_error: OnError = raise_error
) -> list[Entry]:
    """Label maps in a tree of folders, named as their images are; or COCO's panoptic format.

    Returns:
        from label maps, one dictionary per map, with sem_seg_file_name, label_table
        (:func:`~pading.data.masks.label_table`) and, of a data set with pairs, asked (contiguous
        label -> how often); from panoptic annotations, what :func:`load_panoptic` returns.

    Raises:
        InputError: a label map without an image, two of one; what :func:`load_panoptic` refuses.
    """
    if spec.annotations:
        return load_panoptic(spec, split, on_error)
    table = label_table(spec, split)
    maps = [name for name in list_tree(spec.labels) if name.lower().endswith(".png")]
    asked: dict[str, Counter[int]] = {}
    for stem, label in read_pairs(spec, split) if spec.pairs else ():
        asked.setdefault(stem, Counter())[label] += 1
    if spec.pairs:
        maps = named_maps(spec.pairs, asked, spec.labels, maps, on_error)
    elif spec.list:
        maps = named_maps(spec.list, read_image_list(spec.list), spec.labels, maps, on_error)
    if spec.contiguous_labels:
        check_maps(spec.labels, split, maps, on_error)
    images: dict[str, list[str]] = {}
    for folder in {os.path.dirname(name) for name in maps}:
        path = os.path.join(spec.images, folder)
        for name in sorted(list_folder(path)) if os.path.isdir(path) else ():
            if name.endswith(spec.image_suffix):
                name = os.path.join(folder, name)
                images.setdefault(stem_of(name), []).append(name)
    met: dict[str, str] = {}

    def parse(_: int, name: str) -> Entry:
        stem, label_file = stem_of(name), os.path.join(spec.labels, name)
        if met.setdefault(stem, label_file) != label_file:
            raise InputError(f"{label_file}: {met[stem]} is of the same image; remove one")
        if stem not in images:
            remedy = look_alike(os.path.join(spec.images, stem + Path(name).suffix))
            raise InputError(
                f"{label_file}: there is no image {stem}.* in {spec.images}; "
                + (remedy or "complete that folder, or remove the label map"),
                "missing",
            )
        if len(images[stem]) > 1:
            raise InputError(
                f"{label_file}: there are two images, {images[stem][0]} and {images[stem][1]}, "
                f"in {spec.images}; remove one"
            )
        entry = {
            "task": spec.task,
            "file_name": os.path.join(spec.images, images[stem][0]),
            "image_id": stem,
            "sem_seg_file_name": label_file,
            "label_table": table,
        }
        return entry | ({"asked": dict(asked[stem])} if spec.pairs else {})

    return list(each(maps, parse, on_error))


LOADERS = {"panoptic": load_panoptic, "instance": load_instances, "semantic": load_semantic}


def _images_by_id(content: Any, path: str, folder: str) -> dict[int | str, dict[str, Any]]:
    images: dict[int | str, dict[str, Any]] = {}
    for number, image in enumerate(field(content, "images", list, path)):
        where = f"{path}: image {number} (counted from 0)"
        image_id = field(image, "id", (int, str), where)
        check_image_id(image_id, where)
        if image_id in images:
            raise InputError(f"{where}: the image id {image_id} occurs twice")
        if images and type(image_id) is not type(next(iter(images))):  # they could not be sorted
            raise InputError(
                f"{where}: the image id {image_id!r} is {type(image_id).__name__}, those before it "
                "are not; write all as numbers, or all as texts"
            )
        below(folder, field(image, "file_name", str, where), where)
        for key in ("height", "width"):
            if field(image, key, int, where) < 1:
                raise InputError(f"{where}: {key!r} is {image[key]}, not a size in pixels")
        images[image_id] = image
    return images


def _image_entry(image: dict[str, Any], spec: DatasetSpec) -> Entry:
    return {
        "task": spec.task,
        "file_name": os.path.join(spec.images, image["file_name"]),
        "image_id": image["id"],
        "height": image["height"],
        "width": image["width"],
    }


def _segments(
    annotation: dict[str, Any], spec: DatasetSpec, split: ClassSplit, where: str
) -> list[dict[str, Any]]:
    segments = []
    for segment in read_segments(annotation, split, where):
        label = _contiguous(segment, spec, split, f"{where}: segment {segment['id']}")
        isthing = split.classes[label].isthing
        segments.append({**segment, "category_id": label, "isthing": isthing})
    return segments


def _contiguous(entry: dict[str, Any], spec: DatasetSpec, split: ClassSplit, where: str) -> int:
    label = split.contiguous_id[category_of(entry, split, where)]
    if spec.seen_only and split.classes[label].unseen:
        raise InputError(
            f"{where}: {split.classes[label].name!r} is an unseen class of {split.name!r}, and may "
            "not occur in training ground truth" + f"; {spec.remedy}" * bool(spec.remedy),
            "outside the split",
        )
    return label
