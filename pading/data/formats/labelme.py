"""LabelMe: a JSON file for each image, with polygons, rectangles, circles and masks."""

import base64
import binascii
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pading.data.formats.collected import Collected, ImageFolder, InstanceBuilder, as_rle, rectangle
from pading.errors import InputError
from pading.files import field, read_json

_FORMAT = "LabelMe"
_CORNERS = 32
"""Of a circle."""


def read_labelme(files: list[Path], folder: Path, images: Path | None) -> dict[str, Collected]:
    """The images of a folder's JSON files.

    Args:
        files: the JSON files.
        folder: that they are in.
        images: where the images are; by default there too.
    """
    builder = InstanceBuilder(_FORMAT, folder, ImageFolder(images or folder))
    for path in files:
        try:
            _read_file(builder, path)
        except InputError as error:
            builder.refuse(error)
    return {"train": builder.finish()}


def _read_file(builder: InstanceBuilder, path: Path) -> None:
    content = read_json(path)
    where = str(path)
    name = field(content, "imagePath", str, where)
    size = None
    if content.get("imageHeight") and content.get("imageWidth"):
        height, width = (field(content, f"image{s}", int, where) for s in ("Height", "Width"))
        size = (height, width)
    image = builder.image(name, where, size)
    shapes = field(content, "shapes", list, where)
    if image is None:
        return
    parts: dict[Any, tuple[str, list[list[float]]]] = {}
    for number, shape in enumerate(shapes):
        place = f"{where}: shape {number} (counted from 0)"
        try:
            label = field(shape, "label", str, place)
            mask = _mask(shape, image, place)
        except InputError as error:
            builder.refuse(error)
            continue
        if isinstance(mask, dict):
            builder.add(image, label, mask, place)
            continue
        # Parts of one object bear one number.
        group = shape.get("group_id")
        key = (label, "alone", number) if group is None else (label, "group", group)
        parts.setdefault(key, (place, []))[1].extend(mask)
    for (label, *_), (place, polygons) in parts.items():
        builder.add(image, label, polygons, place)


def _mask(
    shape: dict[str, Any], image: dict[str, Any], where: str
) -> list[list[float]] | dict[str, Any]:
    kind = shape.get("shape_type") or "polygon"
    points = field(shape, "points", list, where)
    try:
        corners = np.array(points, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: 'points' must be a list of [x, y], not {points!r:.60}"
        ) from error
    if kind == "polygon":
        return [corners.ravel().tolist()]
    if kind in ("rectangle", "mask") and len(corners) == 2:
        (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
        if kind == "rectangle":
            return rectangle(left, top, right, bottom)
        return _pasted(shape, image, (round(left), round(top)), where)
    if kind == "circle" and len(corners) == 2:
        radius = float(np.linalg.norm(corners[1] - corners[0]))
        turns = np.arange(_CORNERS) * 2 * math.pi / _CORNERS
        around = corners[0] + radius * np.stack((np.cos(turns), np.sin(turns)), axis=1)
        return [around.ravel().tolist()]
    raise InputError(
        f"{where}: a {kind} of {len(corners)} points has no area; draw a polygon, a rectangle, a "
        "circle or a mask"
    )


def _pasted(
    shape: dict[str, Any], image: dict[str, Any], corner: tuple[int, int], where: str
) -> dict[str, Any]:
    """A mask that is stored as the PNG of its box."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"], validate=True))) as png:
            part = np.asarray(png) > 0
        canvas = np.zeros((image["height"], image["width"]), dtype=np.uint8)
        left, top = corner
        canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    except (KeyError, TypeError, ValueError, OSError, binascii.Error) as error:
        raise InputError(f"{where}: its mask cannot be read ({error}); draw it again") from error
    return as_rle(canvas)
