#!/usr/bin/env python3
"""Time stage 2 from images, as published, against stage 2 from stored embeddings.

    python tools/benchmark_stage_two.py --config-file configs/shapes/PADing.yaml

In one run: the store is made of the whole training set, then both sources take turns, so that a
busy machine disturbs them alike. Printed are the median turn's step of each, and what it makes of
--iterations steps (default: as many as published), the store's making included. Weights may be
random (no MODEL.WEIGHTS): speed does not depend on them. KEY VALUE pairs behind the options
override the configuration, such as MODEL.DEVICE cpu.

A training set may stand for a larger one: --stored-images 118287 multiplies the time that the
store's making took to COCO's size, or to the share of it that MODEL.STORE.IMAGES would choose.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from script_timing import now
from tqdm import tqdm

from pading import load_config, register_datasets
from pading.checkpoint.checkpointer import Checkpointer
from pading.engine.building import configured_model
from pading.engine.interruption import Interruption
from pading.engine.loop import TrainingLoop
from pading.engine.optimizers import build_optimizer
from pading.errors import InputError, exit_on_input_error
from pading.layers.precision import amp_dtype
from pading.models.pading.embedding_store import EmbeddingStore
from pading.models.pading.extraction import Extraction
from pading.models.pading.source import open_store, training_source
from pading.models.pading.stage_two import PADing

_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "shapes" / "PADing.yaml"
_ZSL = "MODEL.ZERO_SHOT."


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config-file", default=str(_CONFIG), help="default: %(default)s")
    add("--iterations", type=int, default=20000, help="of the run in question (%(default)s)")
    add("--stored-images", type=int, help="that a store is made of (default: those there are)")
    add("--rounds", type=int, default=5, help="turns of each source (%(default)s)")
    add("--image-steps", type=int, default=10, help="steps from images in a turn (%(default)s)")
    add("--stored-steps", type=int, default=100, help="stored steps in a turn (%(default)s)")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args()
    counts = (args.iterations, args.rounds, args.image_steps, args.stored_steps)
    if min(*counts, args.stored_images or 1) < 1:
        parser.error("numbers of steps, rounds and images: at least 1")
    return args


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory(prefix="pading_stage_two_") as folder:
        given = [*args.overrides, "MODEL.STORE.PATH", folder]
        stored = load_config(args.config_file, [*given, _ZSL + "SOURCE", "stored"])
        published = (_ZSL + "SOURCE", "images", _ZSL + "CLASS_BALANCED", "False")
        images = load_config(args.config_file, [*given, *published])
        register_datasets(stored)
        model = configured_model(stored)
        if not isinstance(model, PADing):
            raise InputError(f"{args.config_file}: stage 2 is timed; give its configuration")
        Checkpointer(model).load(stored.MODEL.WEIGHTS)
        extraction = Extraction(stored, model)
        begin = now(model.device)
        extraction.write(folder)
        making = now(model.device) - begin
        counts = {"images": (images, args.image_steps), "stored": (stored, args.stored_steps)}
        steps = measure(model, open_store(stored, model), counts, args.rounds)
    report = {
        "configuration": args.config_file,
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "images per step": stored.SOLVER.IMS_PER_BATCH,
        **summary(args, making, extraction.header.images, steps),
    }
    print(json.dumps(report, indent=1) if args.json else table(report))


def measure(
    model: PADing,
    store: EmbeddingStore,
    sources: Mapping[str, tuple[CfgNode, int]],
    rounds: int,
) -> dict[str, list[float]]:
    """Seconds that a step takes in each turn (on average), by source.

    Args:
        model: learns; all sources go on with the same weights.
        store: of the source that takes one.
        sources: configuration and steps in a turn, by name.
        rounds: turns of each source.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sources}
    for turn in tqdm(range(rounds), "rounds", leave=False):
        for name, (cfg, count) in sources.items():
            loop = TrainingLoop(
                model,
                training_source(cfg, model, turn, store),
                build_optimizer(cfg, model),
                interruption=Interruption(),
                amp_dtype=amp_dtype(cfg),
            )
            # Workers that load images are ahead by two batches each when the first comes.
            ahead = 1 + 2 * cfg.DATALOADER.NUM_WORKERS
            seconds[name].append(statistics.mean(_steps(loop, ahead, count)))
    return seconds


def _steps(loop: TrainingLoop, uncounted: int, counted: int) -> list[float]:
    device, taken = loop.model.device, []
    with EventStorage(0) as loop.storage:
        for loop.iter in range(uncounted + counted):
            begin = now(device)
            loop.run_step()
            taken.append(now(device) - begin)
    return taken[uncounted:]


def summary(
    args: argparse.Namespace, making: float, images: int, steps: Mapping[str, list[float]]
) -> dict[str, Any]:
    """What the measured seconds make of a whole run.

    Args:
        args: says which run.
        making: seconds that the store took.
        images: that it was made of.
        steps: seconds of a step in each turn, by source.
    """
    medians = {name: statistics.median(taken) for name, taken in steps.items()}
    wanted = args.stored_images or images
    once = {"images": 0.0, "stored": making * wanted / images}
    runs = {name: once[name] + args.iterations * median for name, median in medians.items()}
    return {
        "iterations": args.iterations,
        "stored images": wanted,
        "of which here": images,
        "seconds": {
            name: {
                "store": once[name],
                "step": medians[name],
                "step, fastest turn": min(steps[name]),
                "step, slowest turn": max(steps[name]),
                "run": runs[name],
            }
            for name in steps
        },
        "ratio of steps": medians["images"] / medians["stored"],
        "ratio of runs": runs["images"] / runs["stored"],
    }


def table(report: Mapping[str, Any]) -> str:
    """A report as lines for people."""
    about = (f"{key} {value}" for key, value in report.items() if isinstance(value, str | int))
    lines = [", ".join(about), f"{'seconds':24}{'images':>12}{'stored':>12}{'ratio':>9}"]
    for row in report["seconds"]["images"]:
        cells = [report["seconds"][name][row] for name in ("images", "stored")]
        ratio = f"{cells[0] / cells[1]:9.1f}" if cells[0] else ""
        lines.append(f"{row:24}{cells[0]:12.4g}{cells[1]:12.4g}{ratio}")
    return "\n".join(lines)


if __name__ == "__main__":
    exit_on_input_error(main)
