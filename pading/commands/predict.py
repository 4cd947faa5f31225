"""Predict on images of your own with a trained model.

    pading predict configs/panoptic/PADing.yaml --input photographs --output predictions \\
        MODEL.WEIGHTS output/panoptic/PADing/model_final.pth

The folder of --output gets, for each task that the configuration switches on (MODEL.INFERENCE):

panoptic.json, panoptic/*.png     COCO's panoptic format
instance.json                     COCO's results format: boxes, masks as RLE
semantic.json, semantic/*.png     the classes; label maps of class ids
..._overlays/*.png                pictures; classes with a star and hatching are unseen ones

pading evaluate scores these files (label maps with --class-ids).

and a line says how many images were done:

    12 of 12 images: results in predictions

Results have the size of their image, small pictures are enlarged. Running it again replaces the
files of the same images. The exit status is 1 if an image could not be read; the others are done.

KEY VALUE pairs behind the options override the configuration.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pading.commands.configuration_argument import with_configuration
from pading.config import load_config
from pading.engine.environment import check_output_folder
from pading.prediction import Predictor, find_images, predict_files

_NAMED = 5
_KEY = re.compile(r"(MODEL|DATASETS|INPUT|TEST|DATALOADER)\.")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, help="that the model was trained with")
    parser.add_argument(
        "--input",
        required=True,
        nargs="+",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help="images, or folders of images",
    )
    parser.add_argument("--output", required=True, type=Path, help="folder for the results")
    parser.add_argument("--no-overlays", action="store_true", help="draw no pictures")
    parser.add_argument(
        "--min-score",
        type=float,
        default=0.3,
        help="draw instances that score at least this; instance.json holds all (%(default)s)",
    )
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args(with_configuration(parser, arguments))
    keys = [path for path in args.input if _KEY.match(str(path)) and not path.exists()]
    if keys:
        parser.error(
            f"--input takes {keys[0]} for an image: let another option, such as --output, stand "
            "between --input and the KEY VALUE pairs"
        )
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    cfg = load_config(args.config_file, args.overrides)
    images, others = find_images(args.input)
    if others:
        print(f"passed over, as no images: {_first([str(path) for path in others])}")
    check_output_folder(args.output, "--output")
    unreadable = predict_files(
        Predictor(cfg),
        images,
        args.output,
        workers=cfg.DATALOADER.NUM_WORKERS,
        overlays=not args.no_overlays,
        min_score=args.min_score,
    )
    print(f"{len(images) - len(unreadable)} of {len(images)} images: results in {args.output}")
    if unreadable:
        print(*(f"error: {problem}" for problem in unreadable), sep="\n", file=sys.stderr)
        sys.exit(1)


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" * (len(names) > _NAMED)
    return ", ".join(names[:_NAMED]) + more
