"""YOLO segmentation: data.yaml, and for each image a text file of polygons in shares of its sides.

    0 0.512 0.214 0.530 0.228 ...

is an instance of the class 0. Labels lie beside the images, in ``labels`` for ``images``.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pading.config import read_yaml
from pading.data.formats.collected import Collected, ImageFolder, InstanceBuilder
from pading.errors import InputError
from pading.files import field

_FORMAT = "YOLO segmentation"
_SUBSETS = ("train", "val")
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def read_yolo(path: Path, images: Path | None) -> dict[str, Collected]:
    """The subsets "train" and, where it is there, "val" of a ``data.yaml``.

    Args:
        path: of ``data.yaml``.
        images: the data set's folder, where ``path`` in the file is another machine's.

    Raises:
        InputError: the file is no such, or its folders are not there.
    """
    content = read_yaml(path)
    names = _names(content, str(path))
    root = _root(content, path, images)
    folder = ImageFolder(root)
    found: dict[str, Collected] = {}
    for subset in _SUBSETS:
        if not content.get(subset):
            continue
        builder = InstanceBuilder(_FORMAT, path, folder, names)
        pictures = [p for place in _as_list(content[subset]) for p in _images(root, place, path)]
        for picture in pictures:
            _read_image(builder, root, picture)
        found[subset] = builder.finish()
    if "train" not in found:
        raise InputError(f"{path}: names no folder of training images ('train')")
    return found


def _names(content: Any, where: str) -> list[str]:
    names = field(content, "names", (list, dict), where)
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise InputError(f"{where}: 'names' must number the classes from 0 on")
        names = [names[number] for number in range(len(names))]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError(f"{where}: 'names' must hold a text for every class")
    if len(set(names)) < len(names):
        raise InputError(f"{where}: 'names' has a name twice; give every class its own")
    return names


def _root(content: dict[str, Any], path: Path, images: Path | None) -> Path:
    if images is not None:
        return images
    told = path.parent / str(content.get("path", ""))
    return told if told.is_dir() else path.parent


def _as_list(value: Any) -> list[str]:
    return [str(part) for part in (value if isinstance(value, list) else [value])]


def _images(root: Path, place: str, path: Path) -> list[Path]:
    """The images of a folder, or those that a text file lists."""
    target = root / place
    if target.is_file():
        lines = target.read_text(encoding="utf-8").split()
        return [root / line for line in lines]
    if not target.is_dir():
        raise InputError(
            f"{path}: there is no folder {target}; correct it there, or give the data set's folder "
            "as --images",
            "missing",
        )
    return sorted(p for p in target.rglob("*") if p.suffix.lower() in _IMAGES)


def _labels_of(picture: Path) -> Path:
    """The text file of an image: the last ``images`` of its path has become ``labels``."""
    parts = list(picture.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _read_image(builder: InstanceBuilder, root: Path, picture: Path) -> None:
    labels = _labels_of(picture)
    image = builder.image(os.path.relpath(picture, root), str(labels))
    if image is None:
        return
    if not labels.is_file():  # an image without a file is background
        return
    names = builder.names
    for where, cells in _lines(builder, labels):
        try:
            label, polygon = _instance(cells, names, where)
        except InputError as error:
            builder.refuse(error)
            continue
        scaled = polygon.reshape(-1, 2) * (image["width"], image["height"])
        builder.add(image, label, [scaled.ravel().tolist()], where)


def _lines(builder: InstanceBuilder, path: Path) -> Iterator[tuple[str, list[str]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        builder.refuse(InputError(f"{path}: cannot read these labels ({error})", "corrupt"))
        return
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{path}: line {number}", line.split()


def _instance(cells: list[str], names: list[str], where: str) -> tuple[str, np.ndarray]:
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError as error:
        raise InputError(f"{where}: {error}; a line is a class and x y x y ...") from error
    label, polygon = values[0], values[1:]
    if label != int(label) or not 0 <= label < len(names):
        raise InputError(
            f"{where}: there is no class {cells[0]}; 'names' has 0 to {len(names) - 1}",
            "outside the split",
        )
    if len(polygon) == 4:
        raise InputError(
            f"{where}: a box (4 numbers) and no polygon; segmentation needs outlines: export the "
            "labels as segments"
        )
    if len(polygon) % 2 or not len(polygon):
        raise InputError(f"{where}: {len(polygon)} numbers behind the class; give x y x y ...")
    if not np.isfinite(polygon).all() or polygon.min() < -0.01 or polygon.max() > 1.01:
        raise InputError(
            f"{where}: coordinates are shares of the image's sides, from 0 to 1, but reach from "
            f"{polygon.min():g} to {polygon.max():g}"
        )
    return names[int(label)], polygon.clip(0, 1)
