"""Make Pascal Context's label maps of 59 classes and its lists of images.

    pading prepare pascal_context
    pading prepare pascal_context /data/VOCdevkit/VOC2010 --labels /data/context/59_context_labels

VOC 2010's photographs and lists (host.robots.ox.ac.uk/pascal/VOC) and, from Pascal Context's page
(cs.stanford.edu/~roozbeh/pascal-context), either trainval.tar.gz with labels.txt or
59_context_labels.tar.gz with 59_labels.txt, unpacked:

    VOC2010/                 VOCdevkit/VOC2010 as it comes
      JPEGImages/  ImageSets/Main/train.txt  val.txt
      trainval/*.mat         with labels.txt beside the folder (459 classes), or
      59_context_labels/*.png   with 59_labels.txt beside it

adds SegmentationClassContext/ (PNGs of 0 for none of the 59, 1 to 59 the classes in alphabetical
order) and ImageSets/SegmentationContext/train.txt and val.txt (4,998 and 5,105 images: VOC 2010's
lists). Which number is which class is read from the list of names. The annotations are published
for research; the photographs are Flickr's, under its terms.
"""

import argparse
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pading.data.image_lists import read_image_list
from pading.data.images import read_label_map, require_size
from pading.data.preparation.map_making import (
    Entry,
    make_maps,
    print_counts,
    with_sizes,
    write_lines,
)
from pading.data.preparation.mat_files import read_labels_of_mat
from pading.data.preparation.options import SUBSETS, add_workers, parsed, parser
from pading.errors import InputError
from pading.vocabulary.splits import load_split

_SPLIT, _VALUES = "pascal_context_49_10", 60
_LINE = re.compile(r"\s*(\d+)\s*:\s*(\S.*?)\s*")
# What 59_labels.txt calls three of the classes.
_OTHER_NAMES = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare all images and print how many there are.

    Raises:
        InputError: a file that is missing or damaged; a class without a number.
    """
    args = _parse(arguments)
    root = Path(args.root)
    labels = _labels_folder(root, args.labels)
    table = _table(labels)
    lists = {
        subset: read_image_list(root / "ImageSets" / "Main" / f"{subset}.txt") for subset in SUBSETS
    }
    counts = {}
    for subset, stems in lists.items():
        entries = [_entry(root, labels, stem) for stem in stems]
        found = make_maps(
            root / "SegmentationClassContext",
            with_sizes(entries, args.workers, f"{subset}: images"),
            _VALUES,
            args.workers,
            f"{subset}: label maps",
            partial(_read, table),
        )
        write_lines(root / "ImageSets" / "SegmentationContext" / f"{subset}.txt", stems)
        counts[subset] = {
            "images": len(found),
            "classes that occur": len(set().union(*found) - {0}),
        }
    print_counts(counts)


def _labels_folder(root: Path, chosen: str | None) -> Path:
    folders = [Path(chosen)] if chosen else [root / "59_context_labels", root / "trainval"]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise InputError(
        f"{' or '.join(map(str, folders))}: there is no such folder; unpack Pascal Context's label "
        "maps there, or name their folder with --labels",
        "missing",
    )


def _table(labels: Path) -> np.ndarray:
    """Value of a label map -> place of its class from 1; 0: none of them."""
    names = load_split(_SPLIT).names
    of_59 = labels.name.startswith("59")
    path = labels.parent / ("59_labels.txt" if of_59 else "labels.txt")
    if not path.is_file():
        raise InputError(
            f"{path}: there is no such file; it says which number is which class in {labels}: "
            "fetch it from Pascal Context's page",
            "missing",
        )
    table = np.zeros(2**16, dtype=np.uint16)
    for line in path.read_text(encoding="utf-8").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or int(match[1]) >= len(table):
            continue
        name = _OTHER_NAMES.get(match[2], match[2]) if of_59 else match[2]
        if name in names:
            table[int(match[1])] = names.index(name) + 1
    missing = [name for place, name in enumerate(names, 1) if place not in table]
    if missing:
        raise InputError(
            f"{path}: no number of the class {missing[0]!r}, nor of {len(missing) - 1} others; "
            "lines are such as '1: aeroplane'"
        )
    return table


def _entry(root: Path, labels: Path, stem: str) -> dict[str, Any]:
    files = [labels / f"{stem}.png", labels / f"{stem}.mat"]
    source = next((file for file in files if file.is_file()), None)
    if source is None:
        raise InputError(
            f"{files[0]}: neither this label map is there nor {files[1].name}, but VOC 2010's "
            "lists name the image; unpack the label maps again",
            "missing",
        )
    image = root / "JPEGImages" / f"{stem}.jpg"
    return {
        "file_name": str(image),
        "sem_seg_file_name": str(source),
        "map_name": f"{stem}.png",
    }


def _read(table: np.ndarray, entry: Entry) -> np.ndarray:
    path = entry["sem_seg_file_name"]
    values = read_labels_of_mat(path, "LabelMap") if path.endswith("mat") else read_label_map(path)
    require_size(path, values.shape, (entry["height"], entry["width"]), "its image")
    return table[values]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("pascal_context", __doc__, "VOC2010")
    options.add_argument(
        "--labels",
        metavar="FOLDER",
        help="of the label maps; default: 59_context_labels or trainval in the data set's folder",
    )
    add_workers(options)
    return parsed(options, arguments)
