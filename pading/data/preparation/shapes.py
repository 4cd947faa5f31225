"""Draw the synthetic Shapes data set, unless it is made.

    pading prepare shapes
    pading prepare shapes /data/shapes --train 500 --val 100 --size 192

makes images, panoptic and instance annotations from a seed; the same settings give the same files.
"""

import argparse
from collections.abc import Sequence
from dataclasses import fields

from pading.data.preparation.options import add_workers, parsed, parser
from pading.data.shapes.generation import ShapesSettings, generate
from pading.vocabulary.splits import load_split


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    options = parser("shapes", __doc__, "shapes")
    options.add_argument("--split", default="shapes", help="a class split's name or file")
    for setting in fields(ShapesSettings):
        options.add_argument(
            f"--{setting.name}", type=int, default=setting.default, help="(%(default)s)"
        )
    add_workers(options)
    options.add_argument(
        "--overwrite", action="store_true", help="replace a Shapes data set of other settings"
    )
    return parsed(options, arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the data set; see :func:`pading.data.shapes.generation.generate`."""
    args = parse(arguments)
    settings = ShapesSettings(args.seed, args.train, args.val, args.size)
    made = generate(args.root, load_split(args.split), settings, args.overwrite, args.workers)
    print(f"{args.root}: {'made' if made else 'already there'}")
