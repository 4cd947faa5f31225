"""Datumaro's own format: ``annotations/SUBSET.json`` of items, and ``images/SUBSET``."""

from pathlib import Path
from typing import Any

from pading.data.formats.collected import Collected, ImageFolder, InstanceBuilder
from pading.errors import InputError
from pading.files import field, read_json

_FORMAT = "Datumaro"


def read_datumaro(files: list[Path], images: Path | None) -> dict[str, Collected]:
    """The subsets of an export; those that do not begin with "val" are trained on.

    Args:
        files: of ``annotations``.
        images: where the images are; by default ``images`` beside that folder.
    """
    found: dict[str, Collected] = {}
    for path in files:
        subset = "val" if path.stem.lower().startswith("val") else "train"
        if subset in found:
            raise InputError(
                f"{path}: a second subset to {'score' if subset == 'val' else 'train on'}; give "
                "one file as --annotations, and another as --val"
            )
        found[subset] = _read_file(path, images or path.parent.parent / "images")
    return found


def _read_file(path: Path, images: Path) -> Collected:
    content, where = read_json(path), str(path)
    categories = field(content, "categories", dict, where)
    labels = field(categories.get("label"), "labels", list, f"{where}: categories: label")
    names = [field(label, "name", str, f"{where}: label {n}") for n, label in enumerate(labels)]
    builder = InstanceBuilder(_FORMAT, path, ImageFolder(images), names)
    for number, item in enumerate(field(content, "items", list, where)):
        try:
            _read_item(builder, item, names, f"{where}: item {number} (counted from 0)")
        except InputError as error:
            builder.refuse(error)
    return builder.finish()


def _read_item(builder: InstanceBuilder, item: Any, names: list[str], where: str) -> None:
    name = field(item, "id", str, where)
    where = f"{where.rpartition(': ')[0]}: item {name!r}"
    picture = item.get("image") if isinstance(item.get("image"), dict) else {}
    size = picture.get("size")
    if size is not None and not (len(size) == 2 and {*map(type, size)} == {int}):
        raise InputError(f"{where}: the image's 'size' is {size!r:.40}; it is [height, width]")
    image = builder.image(picture.get("path") or name, where, tuple(size) if size else None)
    if image is None:
        return
    parts: dict[Any, tuple[str, list[list[float]]]] = {}
    for number, annotation in enumerate(field(item, "annotations", list, where)):
        place = f"{where}: annotation {number} (counted from 0)"
        try:
            read = _annotation(annotation, names, place)
        except InputError as error:
            builder.refuse(error)
            continue
        if read is None:
            continue
        label, mask = read
        if isinstance(mask, dict):
            builder.add(image, label, mask, place)
            continue
        # Polygons of one group and class are parts of one object.
        group = annotation.get("group")
        key = (label, "group", group) if group else (label, "alone", number)
        parts.setdefault(key, (place, []))[1].extend(mask)
    for (label, *_), (place, polygons) in parts.items():
        builder.add(image, label, polygons, place)


def _annotation(annotation: Any, names: list[str], where: str) -> tuple[str, Any] | None:
    """Class and mask; None for what says nothing of pixels (labels, captions, boxes beside)."""
    kind = field(annotation, "type", str, where)
    if kind in ("label", "caption"):
        return None
    if kind not in ("polygon", "mask"):
        raise InputError(f"{where}: a {kind} is no mask; export polygons or masks")
    number = field(annotation, "label_id", int, where)
    if not 0 <= number < len(names):
        raise InputError(
            f"{where}: there is no label {number}; the file has 0 to {len(names) - 1}",
            "outside the split",
        )
    if kind == "polygon":
        return names[number], [field(annotation, "points", list, where)]
    return names[number], field(annotation, "rle", dict, where)
