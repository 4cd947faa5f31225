"""What an entry of an annotation file must satisfy, whatever its format.

Each function takes ``where``, which names file and entry in the error.
"""

import math
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pading.data.rle import check_rle
from pading.errors import InputError
from pading.files import field
from pading.vocabulary.splits import ClassSplit

# COCO's colours hold R + 256 G + 256^2 B; 0 is unlabelled.
_LARGEST_SEGMENT_ID = 256**3 - 1
# Annotators overshoot the border a little; more is another scale, or x and y exchanged.
_OVERSHOOT = 0.05


def below(folder: str, name: str, where: str) -> str:
    """The path of a file that an annotation names, which must not lead out of the folder.

    Symbolic links inside the folder are followed: whoever owns the folder made them.

    Raises:
        InputError: an address; a name that climbs out of the folder, or is absolute and elsewhere.
    """
    if "://" in name:
        raise InputError(
            f"{where}: the file name {name!r} is an address; fetch the file into {folder}, "
            "and name it relative to that folder"
        )
    absolute = os.path.abspath(folder)
    path = os.path.normpath(os.path.join(absolute, name)) if "\0" not in name else ""
    if not path.startswith(os.path.join(absolute, "")):
        raise InputError(
            f"{where}: the file name {name!r} leads out of {folder}; "
            "name the file relative to that folder, and put it there"
        )
    return os.path.join(folder, name)


def check_image_id(image_id: int | str, where: str) -> None:
    """Refuse a text that cannot be a file's name: predictions are stored under the image's id.

    Raises:
        InputError: it is empty, "." or "..", or holds a slash or a null character.
    """
    text = str(image_id)
    if text in ("", os.curdir, os.pardir) or any(c in text for c in "/\\\0"):
        raise InputError(
            f"{where}: the image id {text!r} must serve as a file's name; "
            "write it without slashes, or use a number"
        )


def check_segment_id(segment_id: int, where: str) -> None:
    """Refuse an id that a panoptic PNG's colours cannot hold.

    Raises:
        InputError: it is 0 (unlabelled) or not of 24 bits.
    """
    if not 0 < segment_id <= _LARGEST_SEGMENT_ID:
        raise InputError(
            f"{where}: the segment id {segment_id} is no colour of a panoptic PNG; "
            f"use ids from 1 to {_LARGEST_SEGMENT_ID}, where id = R + 256 G + 256^2 B"
        )


def read_segments(
    annotation: Mapping[str, Any], split: ClassSplit, where: str
) -> Iterator[dict[str, int]]:
    """What counts of a panoptic annotation's ``segments_info``: id, category_id and iscrowd.

    Areas and boxes follow from the PNG.

    Raises:
        InputError: no list; an id twice or beyond the colours; a category outside the split.
    """
    met: set[int] = set()
    for entry in field(annotation, "segments_info", list, where):
        segment_id = field(entry, "id", int, f"{where}: a segment")
        if segment_id in met:
            raise InputError(
                f"{where}: the segment id {segment_id} occurs twice; "
                "give every segment of an image its own"
            )
        met.add(segment_id)
        check_segment_id(segment_id, where)
        place = f"{where}: segment {segment_id}"
        category = category_of(entry, split, place)
        yield {
            "id": segment_id,
            "category_id": category,
            "iscrowd": crowd_flag(entry, place),
        }


def category_of(entry: Mapping[str, Any], split: ClassSplit, where: str) -> int:
    """``category_id``.

    Raises:
        InputError: it is missing, or no class of the split.
    """
    category = field(entry, "category_id", int, where)
    if category not in split.contiguous_id:
        raise InputError(
            f"{where}: category {category} is not in the class split {split.name!r}; "
            "add it to the split, or leave it out of the annotations",
            "outside the split",
        )
    return category


def crowd_flag(entry: Mapping[str, Any], where: str) -> int:
    """``iscrowd``, 0 where it is missing.

    Raises:
        InputError: it is neither 0 nor 1.
    """
    flag = entry.get("iscrowd", 0)
    if not isinstance(flag, bool):
        flag = field({"iscrowd": flag}, "iscrowd", int, where)
    if flag not in (0, 1):
        raise InputError(f"{where}: 'iscrowd' is {flag}; it must be 0 or 1")
    return int(flag)


def check_categories(content: Mapping[str, Any], split: ClassSplit, path: str) -> list[str]:
    """Compare a file's own categories, where it lists them, with the classes of the split.

    Returns:
        a sentence for every category that the file calls by a name that no class of the split has,
        which is for people to judge: names may be other words for the same.

    Raises:
        InputError: a category has the name of another class, whatever the case, or is a thing in
            one and stuff in the other; what is no list of categories.
    """
    if not isinstance(content, dict) or "categories" not in content:
        return []  # they follow from the split
    exact = {info.name: info for info in split.classes}
    owners = {_folded(info.name): info for info in split.classes}
    notes = []
    for number, category in enumerate(field(content, "categories", list, path)):
        where = f"{path}: category {number} (counted from 0)"
        class_id = field(category, "id", int, where)
        if class_id not in split.contiguous_id:
            continue
        info = split.classes[split.contiguous_id[class_id]]
        name = field(category, "name", str, where) if "name" in category else info.name
        owner = exact.get(name, owners.get(_folded(name), info))
        if owner != info:
            raise InputError(
                f"{path}: category {class_id} is {name!r}, which is class {owner.id} in the class "
                f"split {split.name!r}; take the split that these annotations were made for"
            )
        if bool(category.get("isthing", info.isthing)) != info.isthing:
            raise InputError(
                f"{path}: category {class_id}, {name!r}, has isthing {category['isthing']!r:.80}, "
                f"but {info.isthing} in the class split {split.name!r}; correct one of the two"
            )
        if name != info.name:
            alike = " (alike but for case, spaces or the way accents are written)"
            notes.append(
                f"{path}: category {class_id} is {name!r}, but {info.name!r} in the class split "
                f"{split.name!r}" + alike * (_folded(name) == _folded(info.name))
            )
    return notes


def _folded(name: str) -> str:
    """What is left of a name without case, separators and ways of writing accents."""
    return " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", name).casefold())).strip()


def check_box(entry: Mapping[str, Any], size: Sequence[int], where: str) -> None:
    """Refuse a bounding box that is none, or that lies outside its image.

    Args:
        entry: its ``bbox``, where it has one, is [x, y, width, height] in pixels.
        size: height and width of the image.
        where: see above.

    Raises:
        InputError: names the box.
    """
    if "bbox" not in entry:
        return
    box = entry["bbox"]
    if not is_box(box) or _outside([*box[:2], box[0] + box[2], box[1] + box[3]], size):
        raise InputError(
            f"{where}: the bbox {box!r:.80} is no [x, y, width, height] in pixels inside the image "
            f"of {size[1]} x {size[0]} (width x height); write it again"
        )


def is_box(value: object) -> bool:
    """Whether it is [x, y, width, height]: finite numbers, the sides not negative."""
    if not isinstance(value, list) or len(value) != 4 or not _are_numbers(value):
        return False
    return all(map(math.isfinite, value)) and min(value[2:]) >= 0


def _outside(corners: Sequence[float], size: Sequence[int]) -> tuple[str, float, int] | None:
    """The first of the coordinates x, y, x, y, ... that lies outside: axis, value, length."""
    for axis, values, length in (("x", corners[0::2], size[1]), ("y", corners[1::2], size[0])):
        slack = max(_OVERSHOOT * length, 2)
        low, high = min(values), max(values)
        # Written so that a NaN lies outside.
        if not (low >= -slack and high <= length + slack):
            return axis, low if low < -slack else high, length
    return None


def _are_numbers(values: Sequence[object]) -> bool:
    return {*map(type, values)} <= {int, float}  # fast: COCO has millions of coordinates


def check_segmentation(
    entry: Mapping[str, Any], size: list[int], where: str
) -> list[list[float]] | dict[str, Any]:
    """An instance's ``segmentation``: polygons of three corners or more, or RLE.

    Polygons of fewer corners (COCO has a few) cover nothing and are left out.

    Args:
        entry: the annotation.
        size: height and width of the image.
        where: see above.

    Raises:
        InputError: neither polygons nor RLE; outside the image or of another size; empty, unless it
            is a crowd.
    """
    mask = field(entry, "segmentation", (list, dict), where)
    if isinstance(mask, dict):
        area = check_rle(mask, size, where)
        empty = not area and not crowd_flag(entry, where)
    else:
        _check_polygons(mask, size, where)
        empty = not mask
    if empty:
        raise InputError(
            f"{where}: the mask is empty; draw it again, or leave the instance out", "empty"
        )
    return mask if isinstance(mask, dict) else [p for p in mask if len(p) >= 6]


def _check_polygons(polygons: list, size: Sequence[int], where: str) -> None:
    for polygon in polygons:
        is_list = isinstance(polygon, list) and bool(polygon)
        if not is_list or len(polygon) % 2 or not _are_numbers(polygon):
            raise InputError(
                f"{where}: a polygon is a list of x, y, x, y, ..., not {polygon!r:.80}"
            )
        outside = _outside(polygon, size)
        if outside is not None:
            axis, value, length = outside
            side = "width" if axis == "x" else "height"
            raise InputError(
                f"{where}: a polygon reaches to {axis} = {value} in an image whose {side} is "
                f"{length}; coordinates are pixels of the image, as x, y, x, y, ..."
            )
