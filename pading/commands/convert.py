"""Convert a stage-1 checkpoint for stage 2: its class head grows from the seen classes to all.

    python tools/preprocess_pretrained_weight.py --task_name panoptic \\
        --input_file output/.../model_final.pth

writes pretrained_weight_panoptic.pth. The checkpoint may be ours or a published one.
"""

import argparse
import sys

from pading.checkpoint.weights import read_weights, write_weights
from pading.models.pading.conversion import convert
from pading.vocabulary.splits import load_split

# The published split of each task.
_SPLITS = {
    "panoptic": "coco_panoptic_119_14",
    "instance": "coco_instance_48_17",
    "semantic": "coco_stuff_156_15",
}


def parse_args() -> argparse.Namespace:
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
    return parser.parse_args()


def main() -> None:
    args = parse_args()
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
