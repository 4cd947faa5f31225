"""Pascal VOC: image lists, class PNGs, and PNGs that number the objects.

``ImageSets/Segmentation/SUBSET.txt`` names images of ``JPEGImages``; ``SegmentationClass`` holds a
class for every pixel (0 background, 255 void), ``SegmentationObject`` the number of its object.
With the latter the data are instances, else label maps.
"""

from pathlib import Path

import numpy as np

from pading.data.formats.collected import Collected, ImageFolder, InstanceBuilder, as_rle
from pading.data.formats.cvat import read_xml
from pading.data.formats.label_folder import maps_of
from pading.data.image_lists import read_image_list
from pading.data.images import read_label_map
from pading.errors import InputError

_FORMAT = "Pascal VOC"
_VOID = 255
NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""Of the values 1 to 20, where no ``labelmap.txt`` says otherwise."""


def read_voc(folder: Path, names: Path | None) -> dict[str, Collected]:
    """The subsets "train" and, where it is there, "val".

    Args:
        folder: holds ``ImageSets``.
        names: a ``labelmap.txt``; by default the folder's own, else VOC's 20 classes.

    Raises:
        InputError: a folder or list is missing.
    """
    lists = folder / "ImageSets" / "Segmentation"
    for part in (lists, folder / "JPEGImages", folder / "SegmentationClass"):
        if not part.is_dir():
            raise InputError(
                f"{part}: Pascal VOC's segmentation needs this folder; boxes alone (Annotations) "
                "teach no masks",
                "missing",
            )
    known = class_names(names or folder / "labelmap.txt")
    images = ImageFolder(folder / "JPEGImages")
    objects = (folder / "SegmentationObject").is_dir()
    found = {}
    for subset in ("train", "val"):
        if not (lists / f"{subset}.txt").is_file():
            continue
        if not objects:
            maps = read_image_list(lists / f"{subset}.txt")
            values = dict(enumerate(known, 1))
            found[subset] = maps_of(
                _FORMAT, folder / "SegmentationClass", images, maps, values, (0,)
            )
        else:
            builder = InstanceBuilder(_FORMAT, folder, images, known)
            for stem in read_image_list(lists / f"{subset}.txt"):
                try:
                    _read_image(builder, folder, stem, known)
                except InputError as error:
                    builder.refuse(error)
            found[subset] = builder.finish()
    if "train" not in found:
        raise InputError(f"{lists / 'train.txt'}: there is no such list of images", "missing")
    return found


def class_names(path: Path) -> list[str]:
    """The classes of the values from 1 on.

    Args:
        path: a ``labelmap.txt`` as CVAT writes it (``name:r,g,b:parts:actions``, background first).
    """
    if not path.is_file():
        return list(NAMES)
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [line.split(":")[0].strip() for line in lines if line.strip() and line[0] != "#"]
    return [name for name in names if name != "background"]


def _read_image(builder: InstanceBuilder, folder: Path, stem: str, names: list[str]) -> None:
    classes = folder / "SegmentationClass" / f"{stem}.png"
    objects = folder / "SegmentationObject" / f"{stem}.png"
    where = str(classes)
    image = builder.image(stem, where)
    if image is None:
        return
    labels, numbers = read_label_map(where), read_label_map(str(objects))
    size = (image["height"], image["width"])
    for path, values in ((classes, labels), (objects, numbers)):
        if values.shape != size:
            raise InputError(f"{path}: is {values.shape}, its image {size} (height, width)")
    for number in np.unique(numbers[(numbers != 0) & (numbers != _VOID)]).tolist():
        place = f"{objects}: object {number}"
        own = labels[(numbers == number) & (labels != _VOID)]
        value = int(np.bincount(own).argmax()) if own.size else 0
        if not 1 <= value <= len(names):
            builder.refuse(
                InputError(
                    f"{place}: its pixels are {value} in {classes}, which is no class (1 to "
                    f"{len(names)})",
                    "outside the split",
                )
            )
            continue
        builder.add(image, names[value - 1], as_rle(numbers == number), place)
    _check_boxes(builder, folder / "Annotations" / f"{stem}.xml", names)


def _check_boxes(builder: InstanceBuilder, path: Path, names: list[str]) -> None:
    """Refuse objects of the XML file whose class is none of the names."""
    if not path.is_file():
        return
    for number, item in enumerate(read_xml(path).iterfind("object")):
        name = item.findtext("name", "")
        if name not in names:
            builder.refuse(
                InputError(
                    f"{path}: object {number} (counted from 0): the class {name!r} is not among "
                    "the names",
                    "outside the split",
                )
            )
