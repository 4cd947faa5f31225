"""COCO's JSON files: which of the two they are, and what in them has one right answer."""

import copy
from pathlib import Path
from typing import Any

from pading.data.annotation_checks import check_box, check_segmentation
from pading.data.formats.collected import Collected, Content, box_and_area
from pading.errors import InputError


def read_coco(
    content: Content, path: Path, images: Path | None, labels: Path | None
) -> dict[str, Collected]:
    """COCO instances or panoptic annotations, repaired.

    Args:
        content: of the file.
        path: of the file.
        images: where the images are.
        labels: of panoptic annotations, the folder of PNGs; by default named as the file.

    Raises:
        InputError: no folder of images is given.
    """
    if images is None:
        raise InputError(f"{path}: where are the images that it names? give --images")
    content = copy.deepcopy(content)
    panoptic = is_panoptic(content)
    found = Collected(
        "COCO panoptic" if panoptic else "COCO instances",
        "panoptic" if panoptic else "instance",
        str(path),
        str(images),
        content,
        labels=str(labels or path.with_suffix("")) if panoptic else "",
    )
    repair = _Repairs(found)
    repair.images()
    repair.categories()
    repair.segments() if panoptic else repair.annotations()
    return {"train": found}


def is_panoptic(content: Content) -> bool:
    """Whether annotations hold segments of images, rather than instances."""
    annotations = content.get("annotations")
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    return isinstance(first, dict) and "segments_info" in first


class _Repairs:
    """Mends what has one right answer, and notes it; anything else is left to the checks."""

    def __init__(self, found: Collected) -> None:
        self._path, self._repairs = found.origin, found.repairs
        self._content = found.content
        self._moved: dict[Any, Any] = {}
        self._sizes: dict[Any, list[int]] = {}

    def _note(self, where: str, text: str) -> None:
        self._repairs.append(f"{self._path}: {where}: {text}")

    def _list(self, key: str) -> list[Content]:
        entries = self._content.get(key)
        return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []

    def _whole(self, entry: Content, key: str, where: str) -> None:
        """A number that is written as text, or with a point, becomes whole."""
        value = entry.get(key)
        number = _as_whole(value)
        if number is not None and type(value) is not int:
            self._note(where, f"{key!r} {value!r} becomes the number {number}")
            entry[key] = number

    def categories(self) -> None:
        for number, category in enumerate(self._list("categories")):
            self._whole(category, "id", f"category {number} (counted from 0)")

    def images(self) -> None:
        texts = [image.get("id") for image in self._list("images")]
        # Names for ids are fine where all are; numbers among them become numbers where all can.
        numbers = all(_as_whole(value) is not None for value in texts)
        first: dict[str, Content] = {}
        kept = []
        for number, image in enumerate(self._list("images")):
            where = f"image {number} (counted from 0)"
            told = image.get("id")
            if numbers:
                self._whole(image, "id", where)
                self._moved[told] = self._moved[image["id"]] = image["id"]
            name = image.get("file_name")
            other = first.setdefault(name, image) if isinstance(name, str) else image
            size, same = _size_of(image), _size_of(other)
            if other is not image and size == same:
                self._note(where, f"{name} is image {other['id']} already; the two become one")
                self._moved[told] = self._moved[image.get("id")] = other["id"]
                continue
            kept.append(image)
            if all(type(side) is int for side in size):
                self._sizes[image.get("id")] = size
        if isinstance(self._content.get("images"), list):
            self._content["images"] = kept

    def _image_of(self, entry: Content, where: str) -> None:
        told = entry.get("image_id")
        for value in (told, _as_whole(told)):
            if isinstance(value, (int, str, float)) and value in self._moved:
                ours = self._moved[value]
                if ours != told or type(ours) is not type(told):
                    self._note(where, f"'image_id' {told!r} becomes {ours!r}")
                entry["image_id"] = ours
                return

    def segments(self) -> None:
        for number, annotation in enumerate(self._list("annotations")):
            where = f"annotation {number} (counted from 0)"
            self._image_of(annotation, where)
            segments = annotation.get("segments_info")
            for segment in segments if isinstance(segments, list) else []:
                if not isinstance(segment, dict):
                    continue
                place = f"annotation of image {annotation.get('image_id')}"
                for key in ("id", "category_id"):
                    self._whole(segment, key, f"{place}: segment {segment.get('id')}")
                segment.setdefault("iscrowd", 0)
                segment.setdefault("area", 0)

    def annotations(self) -> None:
        met: set[int] = set()
        free = 1 + max((_as_whole(a.get("id")) or 0 for a in self._list("annotations")), default=0)
        kept = []
        for number, annotation in enumerate(self._list("annotations")):
            where = f"entry {number}"
            self._whole(annotation, "id", where)
            if type(annotation.get("id")) is not int or annotation["id"] in met:
                self._note(where, f"its id {annotation.get('id')!r} becomes {free}, which is free")
                annotation["id"] = free
                free += 1
            met.add(annotation["id"])
            where = f"annotation {annotation['id']}"
            self._image_of(annotation, where)
            self._whole(annotation, "category_id", where)
            annotation.setdefault("iscrowd", 0)
            if self._masks(annotation, where):
                self._box(annotation, where)
                kept.append(annotation)
        if isinstance(self._content.get("annotations"), list):
            self._content["annotations"] = kept

    def _masks(self, annotation: Content, where: str) -> bool:
        """Drop polygons of fewer than three points; whether anything is left."""
        mask = annotation.get("segmentation")
        if not isinstance(mask, list) or not mask:
            return True
        whole = [p for p in mask if not isinstance(p, list) or len(p) >= 6 or len(p) % 2]
        if len(whole) < len(mask):
            what = "it" if not whole else "the polygon"
            self._note(where, f"a polygon of fewer than three points; {what} is left out")
            annotation["segmentation"] = whole
        return bool(whole)

    def _box(self, annotation: Content, where: str) -> None:
        """A box or an area that is missing or impossible follows from the mask."""
        size = self._sizes.get(annotation.get("image_id"))
        if size is None:
            return
        try:
            checked = check_segmentation(annotation, size, where)
        except InputError:
            return  # the checks say so
        wrong = []
        try:
            if annotation.get("bbox") is None:
                wrong.append("bbox")
            check_box(annotation, size, where)
        except InputError:
            wrong.append("bbox")
        if isinstance(annotation.get("area"), bool) or not isinstance(
            annotation.get("area"), (int, float)
        ):
            wrong.append("area")
        if wrong and checked:
            box, area = box_and_area(checked, size)
            mended = {"bbox": box, "area": area}
            for key in dict.fromkeys(wrong):
                if key in annotation:
                    self._note(where, f"{key!r} {annotation[key]!r:.60} becomes that of the mask")
                annotation[key] = mended[key]


def _size_of(image: Content) -> list[Any]:
    return [image.get("height"), image.get("width")]


def _as_whole(value: Any) -> int | None:
    """3, 3.0, "3" -> 3; anything else -> None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    return None
