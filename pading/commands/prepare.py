"""Prepare a data set: from the files that its authors publish to what training and scoring read.

    pading prepare coco_panoptic
    pading prepare coco_stuff /data/coco --workers 8
    pading prepare coco_instances --help

The folder is by default where the table of data sets looks: below $DETECTRON2_DATASETS. Every
preparation can be interrupted and run again, and prints what it found in the end:

    coco/stuffthingmaps/val2017_coco_stuff_156_15: wrote 5000 maps, kept 0 finished ones

datasets/README.md says where each data set is from, under which terms, and how its files lie.
"""

import argparse
import importlib
from collections.abc import Sequence

from pading.data.preparation import PREPARATIONS


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    width = max(map(len, PREPARATIONS))
    names = "\n".join(f"  {name:{width}}  {what}" for name, what in PREPARATIONS.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"data sets:\n{names}\n\npading prepare NAME --help explains one of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=PREPARATIONS, metavar="NAME", help="of the data set")
    parser.add_argument(
        "rest", nargs=argparse.REMAINDER, metavar="[FOLDER] ...", help="its folder, and its options"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the preparation of the data set that is named; it raises InputError for bad files."""
    args = parse(arguments)
    importlib.import_module(f"pading.data.preparation.{args.name}").main(args.rest)
