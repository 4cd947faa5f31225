"""Rename the weights of a checkpoint between the published code's names and ours, bit by bit.

    pading rename-weights --to ours published.pkl weights.safetensors
    pading rename-weights --to published output/.../model_final.pth published.pth

prints

    weights.safetensors: NUMBER tensors under our names
      sem_seg_head: NUMBER renamed

The ending of the second file says which format is written: .safetensors or .pth. Loading needs no
conversion: MODEL.WEIGHTS takes files of both layouts.

What the other side has no place for is carried along, so that the way back is exact: the published
loss's class weights as "published.criterion.empty_weight" (loading ignores them), our class vectors
as "pading.class_vectors" (the published code ignores them and reports so; it sets its own class
weights from its configuration). Optimizer and training state stay behind.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pading.checkpoint.weights import read_weights, write_weights
from pading.errors import InputError
from pading.models.registry import system_of_weights


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", choices=("ours", "published"), required=True, help="whose names")
    parser.add_argument("input", type=Path, help="checkpoint (.pth, .pkl or .safetensors)")
    parser.add_argument("output", type=Path, help="file to write (.safetensors or .pth)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    weights = read_weights(args.input)["model"]
    system = system_of_weights(weights)
    if system is None:
        raise InputError(
            f"{args.input}: no checkpoint of a system that we know (a backbone alone?); weights of "
            "a backbone load as they are"
        )
    table = system.published_names
    ours = table.to_ours(weights)
    renamed = ours if args.to == "ours" else table.to_published(ours)
    write_weights(args.output, renamed)
    changed = Counter(_room(new) for old, new in zip(weights, renamed, strict=True) if old != new)
    print(f"{args.output}: {len(renamed)} tensors under {_WHOSE[args.to]} names")
    for room, count in sorted(changed.items()):
        print(f"  {room}: {count} renamed")


_WHOSE = {"ours": "our", "published": "published"}


def _room(name: str) -> str:
    return name.split(".")[0]
