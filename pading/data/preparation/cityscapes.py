"""Make label maps of Cityscapes' 19 classes from its fine annotations.

    pading prepare cityscapes
    pading prepare cityscapes /data/cityscapes --subsets val

leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip (cityscapes-dataset.com) unpacked:

    cityscapes/
      leftImg8bit/{train,val}/CITY/*_leftImg8bit.png    2,975 and 500 photographs
      gtFine/{train,val}/CITY/*_gtFine_labelIds.png     PNGs of the ids 0 to 33

adds gtFine_cityscapes_19/{train,val}/CITY/, named as the images are, with 0 to 18 and 255 for the
ids that are not scored. Cityscapes is for research that is not commercial, after registration; its
licence is on its page, and it may not be passed on.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pading.data.entry_files import list_tree
from pading.data.masks import IGNORE_LABEL
from pading.data.preparation.map_making import make_maps, print_counts, with_sizes
from pading.data.preparation.options import SUBSETS, add_workers, parsed, parser
from pading.errors import InputError
from pading.vocabulary.splits import load_split

_IMAGE, _LABELS = "_leftImg8bit.png", "_gtFine_labelIds.png"
_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The id in label maps of each class of the split."""
_MOST = 33


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare the subsets asked for and print what they hold.

    Raises:
        InputError: a file that is missing or damaged; an id that Cityscapes does not have.
    """
    args = _parse(arguments)
    split = load_split("cityscapes_19")
    counts = {}
    for subset in args.subsets:
        found = make_maps(
            Path(args.root) / "gtFine_cityscapes_19" / subset,
            with_sizes(_entries(Path(args.root), subset), args.workers, f"{subset}: images"),
            split.num_classes,
            args.workers,
            f"{subset}: label maps",
            class_ids=[info.id for info in split.classes],
        )
        counts[subset] = {"images": len(found), "classes that occur": len(set().union(*found))}
    print_counts(counts)


def _entries(root: Path, subset: str) -> list[dict[str, Any]]:
    images, labels = root / "leftImg8bit" / subset, root / "gtFine" / subset
    table = np.full(_MOST + 1, IGNORE_LABEL, dtype=np.uint16)
    table[[*_IDS]] = range(len(_IDS))
    annotated = set(list_tree(str(labels)))
    entries = []
    for name in list_tree(str(images)):
        if not name.endswith(_IMAGE):
            continue
        source = name.removesuffix(_IMAGE) + _LABELS
        if source not in annotated:
            raise InputError(
                f"{labels / source}: there is no such label map, but its image is in {images}; "
                "unpack gtFine_trainvaltest.zip there",
                "missing",
            )
        entries.append(
            {
                "file_name": str(images / name),
                "sem_seg_file_name": str(labels / source),
                "label_table": table.tobytes(),
                "map_name": name,
            }
        )
    if not entries:
        raise InputError(f"{images}: no image CITY/*{_IMAGE}; unpack Cityscapes there", "empty")
    return entries


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("cityscapes", __doc__, "cityscapes")
    options.add_argument(
        "--subsets", nargs="+", choices=SUBSETS, default=list(SUBSETS), help="default: both"
    )
    add_workers(options)
    return parsed(options, arguments)
