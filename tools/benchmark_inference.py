#!/usr/bin/env python3
"""Time the inference of one image on a CPU or GPU: ours in each type, and others beside it.

    python tools/benchmark_inference.py --tasks panoptic
    PADING_PUBLISHED=checkout python tools/benchmark_inference.py --tasks panoptic instance semantic
    python tools/benchmark_inference.py --with compiled onnxruntime transformers
    python tools/benchmark_inference.py --config-file configs/shapes/PADing.yaml \\
        --trained model_final.pth --image photo.png MODEL.DEVICE cpu

The segmenter has random weights, on a smooth random image; of its queries, the surest third counts,
so that there are segments to be found. With --trained and --image it is a trained model on a
picture, as it is. int8 is measured where the processor has instructions for it, with ranges of that
very image. With one thread (OMP_NUM_THREADS=1) the processor's time is taken, which other
load disturbs little. All take turns within one run, so that a busy machine disturbs them alike;
printed are medians in milliseconds, by stage, and each one's best. Before them stands what the
machine makes of a plain product of matrices in each type, and after them how much of that the
network reaches.

"published" is the published code, with the same weights, where PADING_PUBLISHED names a checkout of
it (of R-50 at its usual widths). --with adds "transformers" (its Mask2Former with the same weights,
and its own panoptic results), and of the network alone, without results: "compiled" (torch.compile
with its weights frozen), "onnxruntime" and "openvino" (of an export). What it takes to make those
is printed. KEY VALUE pairs behind the options override the configuration, such as MODEL.DEVICE cpu.
"""

import argparse
import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from inference_contestants import (
    OTHERS,
    Inputs,
    Turn,
    clock,
    contestants,
    stages_of,
    types_here,
)
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from pading import load_config, register_datasets
from pading.checkpoint.checkpointer import Checkpointer
from pading.config import check_settings
from pading.data.images import read_image
from pading.engine.building import configured_model
from pading.errors import exit_on_input_error
from pading.inference.query_scores import class_scores
from pading.layers.eight_bits import Range, multiply, pack_linear
from pading.layers.packed import pytorchs_own_layers

_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "panoptic" / "pretrain.yaml"
_TASKS = ("panoptic", "instance", "semantic")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config-file", default=str(_CONFIG), help="default: %(default)s")
    add("--tasks", nargs="+", choices=_TASKS, default=["panoptic"], help="default: panoptic")
    add("--with", nargs="+", choices=OTHERS, default=[], dest="others")
    add("--trained", help="a checkpoint of the configuration; default: random weights")
    add("--image", help="a picture to look at, as it is; default: a random one")
    add("--size", type=int, default=512, help="sides of the image (%(default)s)")
    add("--repeats", type=int, default=5, help="of each version (%(default)s)")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args()
    if args.size < 1 or args.repeats < 1:
        parser.error("--size and --repeats: at least 1")
    return args


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config_file, args.overrides)
    check_settings(cfg)
    register_datasets(cfg)
    torch.manual_seed(0)
    model = configured_model(cfg).eval()
    if args.image:
        image = torch.from_numpy(read_image(args.image).transpose(2, 0, 1).copy())
    else:
        coarse = 255 * torch.rand(1, 3, 16, 16)
        [image] = F.interpolate(coarse, (args.size, args.size), mode="bicubic").clamp(0, 255).byte()
    inputs = [{"image": image, "height": image.shape[1], "width": image.shape[2]}]
    if args.trained:
        Checkpointer(model).load(args.trained)
        model.inference = dataclasses.replace(model.inference, tasks=tuple(args.tasks))
    else:
        find_segments(model, tuple(args.tasks), inputs)
    about: dict[str, Any] = {
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "size": list(image.shape[1:]),
        "tasks": " ".join(args.tasks),
    }
    with torch.inference_mode():
        if "panoptic" in args.tasks:
            about["segments"] = len(model(inputs)[0]["panoptic_seg"][1])
        types = types_here(model.device)
        peaks = {name: matrix_product(dtype, model.device) for name, dtype in types.items()}
    flops = stage_flops(model, inputs)
    about["gigaflop"] = {stage: round(count / 1e9, 1) for stage, count in flops.items()}
    turns, making = contestants(cfg, model, inputs, args.others)
    times = measure(turns, inputs, args.repeats)
    medians = {
        name: {stage: statistics.median(turn[stage] for turn in taken) for stage in taken[0]}
        for name, taken in times.items()
    }
    best = {name: min(turn["all"] for turn in taken) for name, taken in times.items()}
    shares = {
        name: {stage: n / 1e6 / medians[name][stage] / peak for stage, n in flops.items()}
        for name, peak in peaks.items()
    }
    report = {**about, "matrix products, GFLOP/s": peaks, "seconds to make": making}
    report |= {"milliseconds": medians, "best": best, "share of the peak": shares}
    if args.json:
        print(json.dumps(report, indent=1))
        return
    for key in (*about, "matrix products, GFLOP/s", "seconds to make"):
        print(f"{key}: {report[key]}")
    for name, stages in medians.items():
        parts = ", ".join(f"{stage} {taken:.0f}" for stage, taken in stages.items())
        print(f"{name:12} {parts}; best {best[name]:.0f}")
    for name, stages in shares.items():
        parts = ", ".join(f"{stage} {100 * share:.0f}" for stage, share in stages.items())
        print(f"{name:12} of the peak, per cent: {parts}")


def find_segments(model: nn.Module, tasks: tuple[str, ...], inputs: Inputs) -> None:
    """Let random weights find segments: those of the surest third of the queries."""
    with torch.inference_mode():
        model.sem_seg_head["predictor"].class_embed.weight.mul_(20)  # sure of something
        scores = class_scores(model.look(inputs)[0].logits[0])[:, :-1].amax(-1)
    model.inference = dataclasses.replace(
        model.inference,
        tasks=tasks,
        score_threshold=float(scores.quantile(2 / 3)),
        overlap_threshold=0.0,
    )


def matrix_product(dtype: torch.dtype, device: torch.device, side: int = 2048) -> float:
    """The most GFLOP/s of a few products of square matrices."""
    a, taken = torch.rand(side, side, device=device).to(dtype), []
    product: Callable[[], Any] = lambda: a @ a  # noqa: E731
    if dtype == torch.int8:
        one, weights = Range(0.0, 1.0), pack_linear(torch.rand(side, side), None, side)
        codes = one.codes(torch.rand(side, side))
        product = lambda: multiply(codes, one, weights, one)  # noqa: E731
    for _ in range(6):
        begin = clock(device)
        product()
        taken.append(clock(device) - begin)
    return 2 * side**3 / min(taken) / 1e9


def stage_flops(model: nn.Module, inputs: Inputs) -> dict[str, int]:
    """Of each stage's products, as PyTorch counts them; "network" is their sum."""
    x: Any = (model.preprocess(inputs)[0],)
    counts = {}
    for stage, module in stages_of(model).items():
        with pytorchs_own_layers(), FlopCounterMode(display=False) as counter:
            x = module(*x)
        counts[stage] = counter.get_total_flops()
        x = (x.multi_scale, x.mask_features) if stage == "pixel decoder" else (x,)
    return {**counts, "network": sum(counts.values())}


def measure(turns: dict[str, Turn], inputs: Inputs, repeats: int) -> dict[str, list]:
    """What every turn took, by name, after one that is not counted."""
    times: dict[str, list] = {name: [] for name in turns}
    with torch.inference_mode():
        for turn in turns.values():
            turn(inputs)
        for _ in tqdm(range(repeats), leave=False):
            for name, turn in turns.items():
                times[name].append(turn(inputs))
    return times


if __name__ == "__main__":
    exit_on_input_error(main)
