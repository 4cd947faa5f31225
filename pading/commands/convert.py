"""Convert a stage-1 checkpoint for stage 2: its class head grows from the seen classes to all.

    pading convert --task_name panoptic --input_file output/panoptic/pretrain/model_final.pth
    pading convert --task_name instance --split home.json --input_file model_final.pth \\
        --output_file converted.pth

writes pretrained_weight_panoptic.pth, or the file of --output_file, and prints

    pretrained_weight_panoptic.pth: class head grown from 119 seen to 133 classes of
    coco_panoptic_119_14, no-object last

The checkpoint may be ours or a published one.
"""

import argparse
import sys
from collections.abc import Sequence

from pading.checkpoint.weights import read_weights, write_weights
from pading.models.pading.conversion import convert
from pading.vocabulary.splits import load_split

# The published split of each task.
_SPLITS = {
    "panoptic": "coco_panoptic_119_14",
    "instance": "coco_instance_48_17",
    "semantic": "coco_stuff_156_15",
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task_name", choices=tuple(_SPLITS), required=True)
    parser.add_argument("--input_file", required=True, help="checkpoint of stage 1")
    parser.add_argument(
        "--output_file", help="where to write (default: pretrained_weight_<task_name>.pth)"
    )
    parser.add_argument(
        "--split",
        help="class split, by name or as a JSON file (default: the task's published split: "
        + ", ".join(f"{task} {split}" for task, split in _SPLITS.items())
        + ")",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    output = args.output_file or f"pretrained_weight_{args.task_name}.pth"
    split = load_split(args.split or _SPLITS[args.task_name])
    checkpoint = read_weights(args.input_file)
    grown, warnings = convert(checkpoint, split, args.input_file)
    for warning in warnings:
        print(f"warning: {args.input_file}: {warning}", file=sys.stderr)
    write_weights(output, grown)
    print(
        f"{output}: class head grown from {split.num_seen} seen to {split.num_classes} classes "
        f"of {split.name}, no-object last"
    )
