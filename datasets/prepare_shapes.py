#!/usr/bin/env python
"""Make the synthetic Shapes data set under $DETECTRON2_DATASETS/shapes, unless it is made.

python datasets/prepare_shapes.py
"""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pading.data.catalogue import ROOT_VARIABLE, datasets_root
from pading.data.shapes.generation import ShapesSettings, generate
from pading.errors import exit_on_input_error
from pading.vocabulary.splits import load_split


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Make the synthetic Shapes data set.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--root",
        default=str(Path(datasets_root()) / "shapes"),
        help=f"the folder to make; by default shapes in ${ROOT_VARIABLE}",
    )
    parser.add_argument("--split", default="shapes", help="a class split's name or file")
    for setting in fields(ShapesSettings):
        parser.add_argument(f"--{setting.name}", type=int, default=setting.default)
    parser.add_argument("--workers", type=int, help="threads; by default one per core")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a Shapes data set of other settings"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the data set; see :func:`pading.data.shapes.generation.generate`."""
    args = parse(arguments)
    settings = ShapesSettings(args.seed, args.train, args.val, args.size)
    made = generate(args.root, load_split(args.split), settings, args.overwrite, args.workers)
    print(f"{args.root}: {'made' if made else 'already there'}")


if __name__ == "__main__":
    exit_on_input_error(main)
