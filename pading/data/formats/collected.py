"""What annotations of any format hold, in COCO's terms, and what is wrong with them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from pading.data.annotation_checks import check_segmentation
from pading.data.images import image_size
from pading.errors import InputError, first_few

Content = dict[str, Any]


@dataclass
class Collected:
    """Annotations that have been read.

    Args:
        format: what they were recognised as, for people.
        task: "instance", "panoptic" or "semantic".
        origin: the file or folder that faults name.
        images: folder that file names are relative to.
        content: COCO's ``images``, ``annotations`` and ``categories``; of label maps, images and
            categories alone.
        labels: folder of panoptic PNGs or of label maps.
        ignored: values of label maps that are no class.
        faults: what only the user can mend.
        repairs: what has one right answer; ``content`` has it already.
    """

    format: str
    task: str
    origin: str
    images: str
    content: Content
    labels: str = ""
    ignored: tuple[int, ...] = ()
    faults: list[InputError] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)


class ImageFolder:
    """The images below a folder, found by whatever an annotation calls them.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        if not os.path.isdir(self.folder):
            raise InputError(f"{folder}: there is no such folder of images", "missing")
        self._paths: set[str] = set()
        self._by_name: dict[str, list[str]] = {}
        for place, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.relpath(os.path.join(place, name), self.folder)
                self._paths.add(path)
                for key in {name, Path(name).stem}:
                    self._by_name.setdefault(key, []).append(path)

    def find(self, name: str, where: str) -> str:
        """The path below the folder of the image ``name``: a path, a name, or a name's stem.

        Raises:
            InputError: none, or several of that name.
        """
        name = name.replace("\\", "/")
        if name in self._paths:
            return name
        base = os.path.basename(name)
        for key in (base, Path(base).stem):
            found = [p for p in self._by_name.get(key, ()) if not p.endswith(_NO_IMAGES)]
            if len(found) == 1:
                return found[0]
            if found:
                raise InputError(
                    f"{where}: {len(found)} files below {self.folder} are called {base} "
                    f"({first_few(sorted(found))}); write the path below that folder"
                )
        raise InputError(
            f"{where}: there is no image {name} in {self.folder}; complete the folder, or leave "
            "the image out",
            "missing",
        )


_NO_IMAGES = (".txt", ".json", ".xml", ".yaml", ".yml")


class InstanceBuilder:
    """Puts the instances of another format together as COCO has them.

    Args:
        kind: of annotations, for people.
        origin: the file or folder that is read.
        images: where the images are.
        names: of the classes, in order; their ids count from 1. Without any, every label that
            occurs is a class.
    """

    def __init__(
        self, kind: str, origin: str | Path, images: ImageFolder, names: Sequence[str] = ()
    ) -> None:
        self.images = images
        self._names = list(names)
        self._open = not names
        self._met: dict[str, str] = {}
        self.found = Collected(
            kind,
            "instance",
            str(origin),
            images.folder,
            {"images": [], "annotations": [], "categories": []},
        )

    @property
    def names(self) -> list[str]:
        """The classes so far."""
        return self._names

    def refuse(self, error: InputError) -> None:
        """Note a fault."""
        self.found.faults.append(error)

    def image(self, name: str, where: str, size: tuple[int, int] | None = None) -> Content | None:
        """Begin an image; None, with a fault noted, where there is none, or it has come already.

        Args:
            name: as the annotations have it.
            where: names file and entry in faults.
            size: height and width that the annotations state; None: those of the file.
        """
        try:
            path = self.images.find(name, where)
            if path in self._met:
                raise InputError(
                    f"{where}: the image {path} is annotated in {self._met[path]} already; "
                    "keep one of the two"
                )
            height, width = size or image_size(os.path.join(self.images.folder, path))
        except InputError as error:
            self.refuse(error)
            return None
        self._met[path] = where
        images = self.found.content["images"]
        entry = {"id": len(images) + 1, "file_name": path, "height": height, "width": width}
        images.append(entry)
        return entry

    def add(
        self, image: Content, label: str, mask: list[list[float]] | Content, where: str
    ) -> None:
        """An instance.

        Args:
            image: of :meth:`image`.
            label: its class.
            mask: polygons (x, y, x, y, ... in pixels) or RLE.
            where: names file and entry in faults.
        """
        if isinstance(mask, list):
            whole = [polygon for polygon in mask if len(polygon) >= 6 or len(polygon) % 2]
            if len(whole) < len(mask):
                self.found.repairs.append(
                    f"{where}: a polygon of fewer than three points is left out"
                )
                if not whole:
                    return
            mask = whole
        size = [image["height"], image["width"]]
        try:
            category = self._category(label, where)
            checked = check_segmentation({"segmentation": mask}, size, where)
        except InputError as error:
            self.refuse(error)
            return
        box, area = box_and_area(checked, size)
        annotations = self.found.content["annotations"]
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image["id"],
                "category_id": category,
                "segmentation": checked,
                "bbox": box,
                "area": area,
                "iscrowd": 0,
            }
        )

    def _category(self, label: str, where: str) -> int:
        if label not in self._names:
            if not self._open or not label.strip():
                raise InputError(
                    f"{where}: the class {label!r} is not among the names "
                    f"({first_few(self._names)}); add it there, or correct the label",
                    "outside the split",
                )
            self._names.append(label)
        return self._names.index(label) + 1

    def finish(self) -> Collected:
        """All that was added."""
        self.found.content["categories"] = [
            {"id": number, "name": name} for number, name in enumerate(self._names, 1)
        ]
        return self.found


def box_and_area(mask: list[list[float]] | Content, size: Sequence[int]) -> tuple[list, float]:
    """[x, y, width, height] and area in pixels of a mask that has been checked."""
    code: Any = mask
    if isinstance(mask, list):
        code = coco_mask.merge(coco_mask.frPyObjects(mask, *size))
    elif isinstance(mask["counts"], list):
        code = coco_mask.frPyObjects(mask, *size)
    return coco_mask.toBbox(code).tolist(), float(coco_mask.area(code))


def rectangle(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """A box as a polygon."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def as_rle(mask: np.ndarray) -> Content:
    """H x W of 0 and 1 as COCO's compressed RLE."""
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": code["size"], "counts": code["counts"].decode()}
