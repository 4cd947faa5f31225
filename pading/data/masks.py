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

IGNORE_LABEL = 65535
"""An ignored pixel of a label map in memory; files of 8 bits hold 255 for it, those of 16 this."""
_IGNORED_IN_8_BITS = 255
_OUTSIDE = 65534
MOST_CLASSES = _OUTSIDE
"""Classes that a label map has room for (16 bits)."""


def widened(values: np.ndarray) -> np.ndarray:
    """Values of a label map as they are in memory: of 8 bits, 255 becomes IGNORE_LABEL.

    Args:
        values: H x W; uint8 becomes uint16, anything else stays as it is.
    """
    if values.dtype != np.uint8:
        return values
    wide = values.astype(np.uint16)
    wide[values == _IGNORED_IN_8_BITS] = IGNORE_LABEL
    return wide


def read_values(path: str, class_of_255: str | None) -> np.ndarray:
    """The values of a label map, :func:`widened`.

    Args:
        path: the file.
        class_of_255: the class whose value is 255, if one has it.

    Raises:
        InputError: what :func:`~pading.data.images.read_label_map` refuses; a map of 8 bits has
            255, which a class has too.
    """
    values = read_label_map(path)
    if class_of_255 and values.dtype == np.uint8 and (values == _IGNORED_IN_8_BITS).any():
        raise InputError(
            f"{path}: in label maps of 8 bits 255 is ignored, and it is the value of the class "
            f"{class_of_255!r} as well; write this map with 16 bits, or give the class another id"
        )
    return widened(values)


def narrowed(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """A label map as files hold it: uint8 with 255 ignored where the classes fit, else uint16.

    Args:
        labels: H x W contiguous labels, IGNORE_LABEL where ignored.
        num_classes: K; by it rather than by what occurs, so that all maps of a folder are alike.
    """
    if num_classes >= _IGNORED_IN_8_BITS:
        return labels.astype(np.uint16)
    return np.where(labels == IGNORE_LABEL, _IGNORED_IN_8_BITS, labels).astype(np.uint8)


def label_table(spec: DatasetSpec, split: ClassSplit) -> bytes:
    """What each value of a label map means: a contiguous label, ignored, or neither.

    Args:
        spec: contiguous_labels says what the values are, ignored_labels which belong to no class;
            with seen_only the values of unseen classes are ignored too.
        split: the classes.

    Returns:
        uint16 numbers, as many as there are values up to the largest that means something;
        IGNORE_LABEL itself, always ignored, is left out, since every entry carries the table.

    Raises:
        InputError: more classes or larger ids than 16 bits hold; an ignored value that is a class.
    """
    values = [
        spec.label_offset + (label if spec.contiguous_labels else info.id)
        for label, info in enumerate(split.classes)
    ]
    for label, (value, info) in enumerate(zip(values, split.classes, strict=True)):
        if not 0 <= value < _OUTSIDE or label >= _OUTSIDE:
            raise InputError(
                f"data set {spec.name!r}: the class {info.name!r} has the value {value} in label "
                f"maps, whose 16 bits leave room for 0 to {_OUTSIDE - 1}"
            )
    ignored = [value for value in spec.ignored_labels if value != IGNORE_LABEL]
    for value in ignored:
        if not 0 <= value < IGNORE_LABEL or value in values:
            raise InputError(
                f"data set {spec.name!r}: ignored_labels has {value}, which is a class of "
                f"{split.name!r} or no value of 16 bits"
            )
    table = np.full(max(values + ignored) + 1, _OUTSIDE, dtype=np.uint16)
    for label, (value, info) in enumerate(zip(values, split.classes, strict=True)):
        table[value] = IGNORE_LABEL if spec.seen_only and info.unseen else label
    table[ignored] = IGNORE_LABEL
    return table.tobytes()


def semantic_labels(entry: Mapping[str, Any]) -> np.ndarray:
    """The contiguous label of every pixel, H x W uint16, IGNORE_LABEL where ignored.

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
    known = np.frombuffer(entry["label_table"], dtype=np.uint16)
    means_class = len(known) > _IGNORED_IN_8_BITS and known[_IGNORED_IN_8_BITS] < _OUTSIDE
    values = read_values(path, f"number {known[_IGNORED_IN_8_BITS]}" if means_class else None)
    require_size(path, values.shape, (entry["height"], entry["width"]), "its image")
    table = np.full(IGNORE_LABEL + 1, _OUTSIDE, dtype=np.uint16)
    table[: len(known)] = known
    table[IGNORE_LABEL] = IGNORE_LABEL
    labels = table[values]
    if (labels == _OUTSIDE).any():
        raise InputError(
            f"{path}: the value {values[labels == _OUTSIDE][0]} belongs to no class of the split; "
            "name it in the data set's ignored_labels if it should be ignored",
            "outside the split",
        )
    return labels


def semantic_map(ids: np.ndarray, segments: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """The label of every pixel, H x W uint16; IGNORE_LABEL where no segment is.

    Args:
        ids: H x W segment ids.
        segments: id and category_id (contiguous) of each; crowds count.
    """
    labels = np.full(ids.shape, IGNORE_LABEL, dtype=np.uint16)
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
