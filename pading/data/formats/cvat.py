"""CVAT for images 1.1: one XML file of polygons, boxes and masks."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from pading.data.formats.collected import Collected, ImageFolder, InstanceBuilder, as_rle, rectangle
from pading.errors import InputError

_FORMAT = "CVAT for images"
_SHAPES = ("polygon", "box", "mask")
_NO_AREA = ("polyline", "points", "skeleton", "cuboid", "ellipse")


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file.

    Raises:
        InputError: missing or malformed.
    """
    try:
        return ElementTree.parse(path).getroot()
    except OSError as error:
        raise InputError(f"{path}: cannot read this file: {error.strerror}", "missing") from error
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: not an XML file: {error}; export it again", "corrupt") from error


def read_cvat(path: Path, images: Path | None) -> dict[str, Collected]:
    """The images of an export; by subset where there are several.

    Args:
        path: of ``annotations.xml``.
        images: where the images are; by default beside it.
    """
    root = read_xml(path)
    labels = [label.findtext("name", "") for label in root.iterfind(".//labels/label")]
    names = list(dict.fromkeys(label for label in labels if label))
    folder = ImageFolder(images or path.parent)
    builders: dict[str, InstanceBuilder] = {}
    for element in root.iterfind("image"):
        told = element.get("subset", "").lower()
        subset = "val" if told.startswith("val") else "train"
        if subset not in builders:
            builders[subset] = InstanceBuilder(_FORMAT, path, folder, names)
        _read_image(builders[subset], element, path)
    if "train" not in builders:
        raise InputError(f"{path}: holds no image for training", "empty")
    return {subset: builder.finish() for subset, builder in builders.items()}


def _read_image(builder: InstanceBuilder, element: ElementTree.Element, path: Path) -> None:
    name = element.get("name", "")
    where = f"{path}: image {name!r}"
    try:
        size = (int(element.get("height", "")), int(element.get("width", "")))
    except ValueError:
        builder.refuse(InputError(f"{where}: 'width' and 'height' must be numbers of pixels"))
        return
    image = builder.image(name, where, size)
    if image is None:
        return
    for number, shape in enumerate(element):
        place = f"{where}: {shape.tag} {number} (counted from 0)"
        if shape.tag in _NO_AREA:
            builder.refuse(InputError(f"{place}: a {shape.tag} is no mask; draw a polygon"))
        elif shape.tag in _SHAPES:
            try:
                mask = _READERS[shape.tag](shape, image, place)
            except (ValueError, IndexError) as error:
                text = str(error).splitlines()[0]
                builder.refuse(InputError(f"{place}: cannot be read ({text}); export it again"))
            else:
                builder.add(image, shape.get("label", ""), mask, place)


def _polygon(shape: ElementTree.Element, image: Any, where: str) -> list[list[float]]:
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";") if pair]
    return [[float(value) for x, y in pairs for value in (x, y)]]


def _box(shape: ElementTree.Element, image: Any, where: str) -> list[list[float]]:
    return rectangle(*(float(shape.get(key, "")) for key in ("xtl", "ytl", "xbr", "ybr")))


def _mask(shape: ElementTree.Element, image: dict[str, Any], where: str) -> dict[str, Any]:
    """Runs of 0 and 1 in turn, along the rows of the mask's own box."""
    left, top, width, height = (int(shape.get(k, "")) for k in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in shape.get("rle", "").split(",")])
    if (runs < 0).any() or runs.sum() != width * height:
        raise ValueError("its runs do not fill its box")
    part = np.repeat(np.arange(len(runs)) % 2, runs).reshape(height, width)
    canvas = np.zeros((image["height"], image["width"]), dtype=np.uint8)
    canvas[top : top + height, left : left + width] = part
    return as_rle(canvas)


_READERS: dict[str, Any] = {"polygon": _polygon, "box": _box, "mask": _mask}
