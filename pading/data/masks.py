"""The masks of a data set's dictionary, read from its files at the size of the image."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from pading.data.images import read_label_map, read_panoptic_png, require_size, segment_ids
from pading.data.rle import check_rle
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.vocabulary.splits import ClassSplit

IGNORE_LABEL = 255
_OUTSIDE = 254
MOST_CLASSES = _OUTSIDE
"""Classes that a label map has room for."""


def label_table(spec: DatasetSpec, split: ClassSplit) -> bytes:
    """What each of the 256 values of a label map means: a contiguous label, ignored, or neither.

    Args:
        spec: contiguous_labels says what the values are, ignored_labels which belong to no class;
            with seen_only the values of unseen classes are ignored too.
        split: the classes.

    Returns:
        256 bytes.

    Raises:
        InputError: more classes or larger ids than 8 bits hold; an ignored value that is a class.
    """
    table = np.full(256, _OUTSIDE, dtype=np.uint8)
    for label, info in enumerate(split.classes):
        value = label if spec.contiguous_labels else info.id
        if max(value, label) >= _OUTSIDE:
            raise InputError(
                f"data set {spec.name!r}: the class {info.name!r} has the value {value} in label "
                f"maps, whose 8 bits leave room for 0 to {_OUTSIDE - 1}"
            )
        table[value] = IGNORE_LABEL if spec.seen_only and info.unseen else label
    for value in (IGNORE_LABEL, *spec.ignored_labels):
        if not 0 <= value <= 255 or table[value] not in (_OUTSIDE, IGNORE_LABEL):
            raise InputError(
                f"data set {spec.name!r}: ignored_labels has {value}, which is a class of "
                f"{split.name!r} or no value of 8 bits"
            )
        table[value] = IGNORE_LABEL
    return table.tobytes()


def semantic_labels(entry: Mapping[str, Any]) -> np.ndarray:
    """The contiguous label of every pixel, H x W uint8, 255 where ignored or unlabelled.

    Args:
        entry: with height and width, and sem_seg_file_name and label_table or pan_seg_file_name and
            segments_info.

    Raises:
        InputError: an unreadable file, or one of another size than the image; a value that the
            class split does not know.
    """
    if "sem_seg_file_name" not in entry:
        return semantic_map(panoptic_ids(entry), entry["segments_info"])
    path = entry["sem_seg_file_name"]
    values = read_label_map(path)
    require_size(path, values.shape, (entry["height"], entry["width"]), "its image")
    labels = np.frombuffer(entry["label_table"], dtype=np.uint8)[values]
    if (labels == _OUTSIDE).any():
        raise InputError(
            f"{path}: the value {values[labels == _OUTSIDE][0]} belongs to no class of the split; "
            "name it in the data set's ignored_labels if it should be ignored",
            "outside the split",
        )
    return labels


def semantic_map(ids: np.ndarray, segments: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """The label of every pixel, H x W uint8; 255 where no segment is.

    Args:
        ids: H x W segment ids.
        segments: id and category_id (contiguous, below 255) of each; crowds count.
    """
    labels = np.full(ids.shape, IGNORE_LABEL, dtype=np.uint8)
    for segment in segments:
        labels[ids == segment["id"]] = segment["category_id"]
    return labels


def panoptic_colours(entry: Mapping[str, Any]) -> np.ndarray:
    """The panoptic PNG of an entry, H x W x 3 uint8.

    Raises:
        InputError: an unreadable file, or one of another size than the image.
    """
    path = entry["pan_seg_file_name"]
    colours = read_panoptic_png(path)
    require_size(path, colours.shape[:2], (entry["height"], entry["width"]), "its annotation")
    return colours


def panoptic_ids(entry: Mapping[str, Any]) -> np.ndarray:
    """The segment ids of an entry, H x W; what :func:`panoptic_colours` decodes to."""
    return segment_ids(panoptic_colours(entry))


def panoptic_faults(
    entry: Mapping[str, Any], ids: Iterable[int] | None = None
) -> Iterator[InputError]:
    """Segments that a panoptic PNG and its annotation disagree on.

    Args:
        entry: with pan_seg_file_name and segments_info.
        ids: what occurs in the PNG, if it is known.

    Raises:
        InputError: as :func:`panoptic_colours`.
    """
    path, segments = entry["pan_seg_file_name"], entry["segments_info"]
    painted = {*(np.unique(panoptic_ids(entry)).tolist() if ids is None else ids)}
    listed = {segment["id"] for segment in segments}
    for segment_id in sorted(listed - painted):
        yield InputError(
            f"{path}: the segment {segment_id} of its annotation has no pixel; "
            "paint it, or leave it out of the annotation",
            "empty",
        )
    for segment_id in sorted(painted - listed - {0}):
        yield InputError(
            f"{path}: the segment {segment_id} is not in the annotations; "
            "list it there, or paint it 0 (unlabelled)"
        )


def instance_masks(entry: Mapping[str, Any]) -> list[np.ndarray]:
    """The masks of an entry's annotations without crowds, each H x W uint8 of 0 and 1.

    Args:
        entry: with annotations, whose "segmentation" is polygons, or RLE as a list or compressed.

    Raises:
        InputError: broken polygons or RLE.
    """
    return [
        _decode(annotation["segmentation"], entry)
        for annotation in entry["annotations"]
        if not annotation["iscrowd"]
    ]


def _decode(segmentation: list | dict[str, Any], entry: Mapping[str, Any]) -> np.ndarray:
    height, width = entry["height"], entry["width"]
    where = f"{entry['file_name']}: a segmentation of this image"
    if isinstance(segmentation, dict):
        # pycocotools reads beyond the end of a broken code.
        check_rle(segmentation, [height, width], where)
    try:
        if isinstance(segmentation, list):
            code = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
        elif isinstance(segmentation["counts"], list):
            code = coco_mask.frPyObjects(segmentation, height, width)
        else:
            code = segmentation
        return coco_mask.decode(code)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{where} is broken ({error}); draw it again", "corrupt") from error
