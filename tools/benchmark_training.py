#!/usr/bin/env python3
"""Time a training step of stage 1: ours in float32 and bfloat16, and the published code.

    PADING_PUBLISHED=checkout python tools/benchmark_training.py MODEL.DEVICE cpu
    OMP_NUM_THREADS=1 python tools/benchmark_training.py --repeats 5 MODEL.DEVICE cpu

One smooth random image whose segments are the cells of a grid; weights are random (R-50). A step is
losses, gradients, their clipping and AdamW. Each contestant is a process of its own, so that its
peak memory is, too; they are told in turn to make a step, while the others wait. With one thread
(OMP_NUM_THREADS=1) the processor's time is taken, which other load disturbs little, else the
wall's. Printed are the median and the best in seconds, and the peak in MB, PyTorch included.

"published" takes part where PADING_PUBLISHED names a checkout of the published code. KEY VALUE
pairs behind the options override the configuration.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage
from published_network import CHECKOUT, published_segmenter
from torch.nn import functional as F
from tqdm import tqdm

from pading import load_config, register_datasets
from pading.config import check_settings
from pading.engine.building import configured_model
from pading.engine.interruption import Interruption
from pading.engine.loop import TrainingLoop
from pading.engine.optimizers import build_optimizer
from pading.errors import InputError, exit_on_input_error
from pading.models.mask2former import Mask2Former

_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "panoptic" / "pretrain.yaml"
_TYPES = {"float32": None, "bfloat16": torch.bfloat16}
_PUBLISHED = "published"
Step = Callable[[], None]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config-file", default=str(_CONFIG), help="default: %(default)s")
    add("--size", type=int, default=512, help="sides of the image (%(default)s)")
    add("--segments", type=int, default=12, help="that the image has (%(default)s)")
    add("--repeats", type=int, default=4, help="steps that count, of each (%(default)s)")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args()
    if min(args.size, args.segments, args.repeats) < 1:
        parser.error("--size, --segments and --repeats: at least 1")
    return args


def main() -> None:
    args = parse_args()
    check_settings(load_config(args.config_file, args.overrides))
    names = [*_TYPES, *([_PUBLISHED] if CHECKOUT in os.environ else [])]
    found = measure(names, args)
    if args.json:
        print(json.dumps(found, indent=1))
        return
    for name, (seconds, peak) in found.items():
        times = f"{statistics.median(seconds):.2f} s, best {min(seconds):.2f}"
        print(f"{name:10} {times}, at most {peak:.0f} MB")


def measure(names: list[str], args: argparse.Namespace) -> dict[str, tuple[list[float], float]]:
    """Seconds of the steps that count, and the peak of memory, by name.

    Raises:
        InputError: a contestant could not be made, or stopped.
    """
    spawn = multiprocessing.get_context("spawn")
    ends, processes = {}, []
    for name in names:
        ends[name], theirs = spawn.Pipe()
        processes.append(spawn.Process(target=contestant, args=(name, args, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
    taken: dict[str, list[float]] = {name: [] for name in names}
    peaks = {}
    try:
        for round_ in tqdm(range(args.repeats + 1), leave=False):
            for name, end in ends.items():
                end.send(True)
                seconds = end.recv()
                if round_:  # the first step also makes the optimizer's tensors
                    taken[name].append(seconds)
        for name, end in ends.items():
            end.send(False)
            peaks[name] = end.recv()
    except (EOFError, BrokenPipeError) as error:
        raise InputError(f"{name} made no step; what it said stands above") from error
    finally:
        for process in processes:
            process.terminate()
    return {name: (taken[name], peaks[name]) for name in names}


def contestant(name: str, args: argparse.Namespace, told: Connection) -> None:
    """Make a step whenever told True, and say what it took; told False, say the peak in MB."""
    cfg = load_config(args.config_file, args.overrides)
    register_datasets(cfg)
    torch.manual_seed(0)
    model = configured_model(cfg).train()
    if not isinstance(model, Mask2Former):
        raise InputError(f"{args.config_file}: stage 1 is timed; give its configuration")
    image = grid(args.size, args.segments, model.split.seen)
    if name == _PUBLISHED:
        step = published_step(model, image)
        del model
    else:
        step = our_step(cfg, model, image, _TYPES[name])
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    while told.recv():
        begin = clock()
        step()
        told.send(clock() - begin)
    told.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def grid(size: int, segments: int, classes: tuple[int, ...]) -> dict[str, Any]:
    """An image, as training takes it, whose segments are cells of a grid of four columns."""
    coarse = 255 * torch.rand(1, 3, 16, 16)
    [image] = F.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 255).byte()
    rows = -(-segments // 4)
    across = torch.arange(size) * 4 // size
    cells = (torch.arange(size) * rows // size)[:, None] * 4 + across
    labels = [classes[number % len(classes)] for number in range(segments)]
    instances = Instances(
        (size, size),
        gt_classes=torch.tensor(labels),
        gt_masks=cells == torch.arange(segments)[:, None, None],
    )
    return {"image": image, "instances": instances, "height": size, "width": size}


class Same:
    """One image again and again."""

    seed, shared = 0, True

    def __init__(self, image: dict[str, Any]) -> None:
        self.image = image

    def starting_at(self, iteration: int) -> Iterator[list[dict[str, Any]]]:
        while True:
            yield [self.image]

    def image_names(self, iteration: int) -> list[str]:
        return ["grid"]


def our_step(
    cfg: CfgNode, model: Mask2Former, image: dict[str, Any], dtype: torch.dtype | None
) -> Step:
    optimizer = build_optimizer(cfg, model)
    loop = TrainingLoop(model, Same(image), optimizer, interruption=Interruption(), amp_dtype=dtype)
    loop.iter = 0

    def step() -> None:
        with EventStorage(loop.iter) as loop.storage:
            loop.run_step()
        loop.iter += 1

    return step


def published_step(model: Mask2Former, image: dict[str, Any]) -> Step:
    """Its losses, with what its script has for optimizer and clipping."""
    theirs = published_segmenter(model).train()
    labels = model.head_rows[image["instances"].gt_classes]
    instances = Instances(
        image["instances"].image_size, gt_classes=labels, gt_masks=image["instances"].gt_masks
    )
    parameters = [p for p in theirs.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, 1e-4, weight_decay=0.05)

    def step() -> None:
        optimizer.zero_grad()
        sum(theirs([{**image, "instances": instances}]).values()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.01)
        optimizer.step()

    return step


if __name__ == "__main__":
    exit_on_input_error(main)
