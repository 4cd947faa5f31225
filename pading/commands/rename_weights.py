"""Rename the weights of a checkpoint between the published code's names and ours, bit by bit.

    pading rename-weights --to ours published.pkl weights.safetensors
    pading rename-weights --to published output/.../model_final.pth published.pth
    pading rename-weights --to transformers output/.../model_final.pth folder

prints

    weights.safetensors: NUMBER tensors under our names
      sem_seg_head: NUMBER renamed

The ending of the second file says which format is written: .safetensors or .pth. Loading needs no
conversion: MODEL.WEIGHTS takes files of both layouts, and folders of Mask2Former's weights in the
package transformers, which --to transformers writes of a stage-1 checkpoint.

What the other side has no place for is carried along, so that the way back is exact: the published
loss's class weights as "published.criterion.empty_weight" (loading ignores them), our class vectors
as "pading.class_vectors" (the published code ignores them and reports so; it sets its own class
weights from its configuration). Optimizer and training state stay behind.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from pading.checkpoint.transformers_folder import write_folder
from pading.checkpoint.weights import read_weights, write_weights
from pading.config import config_from_yaml
from pading.errors import InputError
from pading.models.class_head import CLASS_HEAD, names_of_rows
from pading.models.registry import system_of_weights
from pading.vocabulary.splits import ClassSplit

_WHOSE = {"ours": "our", "published": "published", "transformers": "the package transformers'"}
_USUAL_HEADS = 8  # of every published segmenter


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", choices=tuple(_WHOSE), required=True, help="whose names")
    parser.add_argument("input", type=Path, help="checkpoint (.pth, .pkl or .safetensors)")
    parser.add_argument(
        "output", type=Path, help="file to write (.safetensors or .pth), or the folder"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    checkpoint = read_weights(args.input)
    weights = checkpoint["model"]
    system = system_of_weights(weights)
    if system is None:
        raise InputError(
            f"{args.input}: no checkpoint of a system that we know (a backbone alone?); weights of "
            "a backbone load as they are"
        )
    table = system.published_names
    ours = table.to_ours(weights)
    if args.to == "transformers":
        write_folder(args.output, ours, _labels(checkpoint, ours), _heads(checkpoint))
        print(f"{args.output}: {len(ours)} tensors under the names of the package transformers")
        return
    renamed = ours if args.to == "ours" else table.to_published(ours)
    write_weights(args.output, renamed)
    changed = Counter(_room(new) for old, new in zip(weights, renamed, strict=True) if old != new)
    print(f"{args.output}: {len(renamed)} tensors under {_WHOSE[args.to]} names")
    for room, count in sorted(changed.items()):
        print(f"  {room}: {count} renamed")


def _labels(checkpoint: Mapping[str, Any], ours: Mapping[str, Tensor]) -> dict[int, str]:
    """What the rows of the class head are called."""
    rows = len(ours[f"{CLASS_HEAD}bias"]) - 1
    names = [f"class {row}" for row in range(rows)]
    if isinstance(checkpoint.get("split"), dict):
        split = ClassSplit.from_record(checkpoint["split"], "the checkpoint's class split")
        names = names_of_rows(split, rows) or names
    return dict(enumerate(names))


def _heads(checkpoint: Mapping[str, Any]) -> int:
    """Of the attention: the checkpoint's configuration says so where it carries one."""
    carried = checkpoint.get("config")
    if not isinstance(carried, str):
        return _USUAL_HEADS
    return config_from_yaml(carried, "the checkpoint's configuration").MODEL.SEGMENTER.NUM_HEADS


def _room(name: str) -> str:
    return name.split(".")[0]
