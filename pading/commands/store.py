"""Store what stage 2 learns from: one pass of the frozen segmenter over the images.

    pading store configs/panoptic/PADing.yaml --output stores/coco --num-gpus 8 \\
        MODEL.WEIGHTS pretrained_weight_panoptic.pth

Stage 2 takes the store as MODEL.STORE.PATH stores/coco. The keys MODEL.STORE.* say how often images
are augmented, which queries are kept and how. A killed run goes on where it stopped. On machines
without GPUs, start several with --part 0/4, --part 1/4, ...: each makes its shards.

A bar shows how many shards are done. The folder of --output gets

    header.json  what the store was made of
    00000.safetensors, 00001.safetensors, ...
"""

import argparse
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from pading.checkpoint.checkpointer import Checkpointer
from pading.commands.configuration_argument import with_configuration
from pading.data.catalogue import register_datasets
from pading.engine.building import configured_model
from pading.engine.launch import launch
from pading.engine.setup import setup
from pading.errors import InputError
from pading.models.pading.extraction import Extraction
from pading.models.pading.source import check_storable


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; None: that of this process."""
    parser = default_argument_parser(epilog=__doc__)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the store to make")
    parser.add_argument(
        "--part", default="0/1", metavar="I/N", help="make every Nth shard, from the Ith on"
    )
    return parser.parse_args(with_configuration(parser, arguments))


def part_of(text: str) -> tuple[int, int]:
    """ "1/4" -> (1, 4)."""
    first, _, count = text.partition("/")
    if first.isdecimal() and count.isdecimal() and int(first) < int(count):
        return int(first), int(count)
    raise InputError(f"--part {text}: give I/N with 0 <= I < N, such as 0/2 and 1/2")


def run(cfg: CfgNode, output: str, part: int, parts: int) -> None:
    """The work of one process: its shards of its part."""
    register_datasets(cfg)
    for name in ("detectron2", "fvcore", "pading"):
        setup_logger(distributed_rank=comm.get_rank(), name=name)
    model: Any = configured_model(cfg)  # of stage 2: main has checked it
    Checkpointer(model).load(cfg.MODEL.WEIGHTS)
    processes = comm.get_world_size()
    Extraction(cfg, model).write(output, part * processes + comm.get_rank(), parts * processes)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    part, parts = part_of(args.part)
    cfg = setup(args)
    check_storable(cfg, args.config_file)
    if not cfg.MODEL.WEIGHTS:
        raise InputError("MODEL.WEIGHTS is empty; name a converted checkpoint of stage 1")
    launch(run, args, cfg.MODEL.DEVICE, (cfg, args.output, part, parts))
