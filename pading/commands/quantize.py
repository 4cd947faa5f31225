"""Prepare a trained model for 8-bit inference on a CPU: measure the ranges of its layers.

    pading quantize model_final.pth model_int8.pth --images photographs
    pading predict model_int8.pth photographs --output predictions

The model looks at some images of the kind that it is for (the first of a folder, in order of name;
several dozen are enough), and the new checkpoint says MODEL.INFERENCE.DTYPE int8:

    model_int8.pth: 81 ranges from 32 images

Weights stay as they are, so that MODEL.INFERENCE.DTYPE float32 gives the same as before. What is
computed in 8 bits: the blocks of a ResNet, large convolutions, and the feed-forward blocks of the
pixel decoder; the rest is computed in bfloat16.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pading.checkpoint.weights import read_weights
from pading.data.images import read_image
from pading.errors import InputError
from pading.layers.ranges import measured_ranges
from pading.models.trained import save_with_settings
from pading.prediction import load
from pading.prediction.image_files import find_images

_FLOAT32 = ("MODEL.INFERENCE.DTYPE", "float32", "MODEL.DEVICE", "cpu")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="a checkpoint that training wrote")
    parser.add_argument("output", help="where to write: .pth")
    parser.add_argument(
        "--images", nargs="+", required=True, help="files and folders to measure the ranges on"
    )
    parser.add_argument("--number", type=int, default=32, help="of images (%(default)s)")
    args = parser.parse_args(arguments)
    if args.number < 1:
        parser.error("--number: at least 1")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    if not args.output.endswith(".pth"):
        raise InputError(f"{args.output}: a checkpoint is written to a file that ends in .pth")
    images = find_images(args.images)[0][: args.number]
    predictor = load(args.weights, "", _FLOAT32)

    def look(path: Path) -> None:
        predictor.model.look([predictor.prepare(read_image(str(path)))])

    ranges = measured_ranges(predictor.model, look, images)
    flat = [part for name, ends in ranges.items() for part in (name, *ends)]
    settings = {"DTYPE": "int8", "INT8_RANGES": flat}
    save_with_settings(read_weights(args.weights), args.weights, args.output, settings)
    print(f"{args.output}: {len(ranges)} ranges from {len(images)} images")
