"""From annotation files on disk to Detectron2's list of dictionaries, checked on the way.

Each loader takes a :class:`~pading.data.spec.DatasetSpec` with absolute paths and the data
set's class split. All raise InputError naming file and entry on whatever does not fit.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pading.data.files import field, read_json
from pading.data.spec import DatasetSpec
from pading.data.splits import ClassSplit
from pading.errors import InputError

IGNORE_LABEL = 255


def load_panoptic(spec: DatasetSpec, split: ClassSplit) -> list[dict[str, Any]]:
    """COCO's panoptic format: a JSON file and a folder of PNGs.

    Returns:
        one dictionary per annotated image: file_name, image_id, height, width, pan_seg_file_name
        and segments_info, a list of {id, category_id (contiguous), iscrowd, isthing}.

    Raises:
        InputError: a missing folder, file or image; malformed JSON; a repeated image or segment;
            a category outside the split; an unseen class in a seen-only data set.
    """
    return parse_panoptic(read_json(spec.annotations, spec.remedy), spec, split)


def parse_panoptic(content: Any, spec: DatasetSpec, split: ClassSplit) -> list[dict[str, Any]]:
    """:func:`load_panoptic` of an annotation file that has been read already."""
    path = spec.annotations
    images = _images_by_id(content, path)
    annotated: set[int | str] = set()
    dicts = []
    for number, annotation in enumerate(field(content, "annotations", list, path)):
        image_id = field(annotation, "image_id", (int, str), f"{path}: annotation {number}")
        where = f"{path}: annotation of image {image_id}"
        if image_id not in images:
            raise InputError(f"{where}: the file lists no image of this id")
        if image_id in annotated:
            raise InputError(f"{where}: the image has two annotations; remove one")
        annotated.add(image_id)
        image = images[image_id]
        label_file = field(annotation, "file_name", str, where)
        dicts.append(
            {
                "file_name": os.path.join(spec.images, image["file_name"]),
                "image_id": image_id,
                "height": image["height"],
                "width": image["width"],
                "pan_seg_file_name": os.path.join(spec.labels, label_file),
                "segments_info": _segments(annotation, split, spec.seen_only, where, spec.remedy),
            }
        )
    _require_files(spec.images, (d["file_name"] for d in dicts), path)
    _require_files(spec.labels, (d["pan_seg_file_name"] for d in dicts), path)
    return dicts


def semantic_map(ids: np.ndarray, segments: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """The label of every pixel, H x W uint8; 255 where no segment is.

    Args:
        ids: H x W segment ids.
        segments: those of :func:`load_panoptic`, with contiguous labels below 255; crowds count.
    """
    labels = np.full(ids.shape, IGNORE_LABEL, dtype=np.uint8)
    for segment in segments:
        labels[ids == segment["id"]] = segment["category_id"]
    return labels


def _images_by_id(content: Any, path: str) -> dict[int | str, dict[str, Any]]:
    images: dict[int | str, dict[str, Any]] = {}
    for number, image in enumerate(field(content, "images", list, path)):
        where = f"{path}: image {number} (counted from 0)"
        image_id = field(image, "id", (int, str), where)
        if image_id in images:
            raise InputError(f"{where}: the image id {image_id} occurs twice")
        field(image, "file_name", str, where)
        for key in ("height", "width"):
            if field(image, key, int, where) < 1:
                raise InputError(f"{where}: {key!r} is {image[key]}, not a size in pixels")
        images[image_id] = image
    return images


def _segments(
    annotation: dict[str, Any], split: ClassSplit, seen_only: bool, where: str, remedy: str
) -> list[dict[str, Any]]:
    segments = []
    met: set[int] = set()
    for entry in field(annotation, "segments_info", list, where):
        segment_id = field(entry, "id", int, f"{where}: a segment")
        if segment_id in met:
            raise InputError(f"{where}: the segment id {segment_id} occurs twice")
        met.add(segment_id)
        what = f"{where}: segment {segment_id}"
        label = contiguous_label(entry, split, seen_only, what, remedy)
        segments.append(
            {
                "id": segment_id,
                "category_id": label,
                "iscrowd": int(entry.get("iscrowd", 0)),
                "isthing": split.classes[label].isthing,
            }
        )
    return segments


def contiguous_label(
    entry: dict[str, Any], split: ClassSplit, seen_only: bool, where: str, remedy: str
) -> int:
    """The contiguous index of an annotation's ``category_id``.

    Raises:
        InputError: a category outside the split, or an unseen one where ``seen_only``.
    """
    category = field(entry, "category_id", int, where)
    if category not in split.contiguous_id:
        raise InputError(
            f"{where}: category {category} is not in the class split {split.name!r}; "
            "add it to the split, or leave it out of the annotations"
        )
    label = split.contiguous_id[category]
    if seen_only and split.classes[label].unseen:
        raise InputError(
            f"{where}: {split.classes[label].name!r} is an unseen class of {split.name!r}, and may "
            "not occur in training ground truth" + f"; {remedy}" * bool(remedy)
        )
    return label


def _require_files(root: str, paths: Iterable[str], source: str) -> None:
    """Refuse missing files, by one listing per folder rather than a call per file."""
    listings: dict[str, set[str]] = {}
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in listings:
            listings[folder] = _list_folder(folder)
        if name not in listings[folder]:
            raise InputError(
                f"{path}: there is no such file, but {source} names it; "
                f"complete the folder {root}, or leave the image out of the annotations"
            )


def _list_folder(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except OSError as error:
        raise InputError(f"{folder}: cannot list this folder: {error.strerror}") from error
