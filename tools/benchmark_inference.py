#!/usr/bin/env python3
"""Time the inference of one image on a CPU or GPU: ours in each type, and others beside it.

    python tools/benchmark_inference.py --tasks panoptic
    PADING_PUBLISHED=checkout python tools/benchmark_inference.py --tasks panoptic instance semantic
    python tools/benchmark_inference.py --with compiled onnxruntime

The segmenter has random weights; of its queries, the surest third counts, so that there are
segments to be found. With one thread (OMP_NUM_THREADS=1) the processor's time is taken, which other
load disturbs little. All take turns within one run, so that a busy machine disturbs them alike;
printed are medians in milliseconds, by stage, and each one's best. Before them stands what the
machine makes of a plain product of matrices in each type, and after them how much of that the
network reaches.

"published" is the published code, with the same weights, where PADING_PUBLISHED names a checkout of
it. --with adds "compiled" (torch.compile with its weights frozen) and "onnxruntime" (an export):
both are of the network alone, without results, and what it takes to make them is printed. KEY VALUE
pairs behind the options override the configuration, such as MODEL.DEVICE cpu.
"""

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from published_network import CHECKOUT, published_segmenter
from script_timing import now
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from pading import load_config, register_datasets
from pading.config import check_settings
from pading.engine.building import configured_model
from pading.errors import exit_on_input_error
from pading.export import export_model
from pading.inference.query_scores import class_scores

_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "panoptic" / "pretrain.yaml"
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_TASKS = ("panoptic", "instance", "semantic")

Inputs = list[dict[str, Any]]
Turn = Callable[[Inputs], dict[str, float]]
"""Looks at an image and says how many milliseconds each stage took; "all" is their sum."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config-file", default=str(_CONFIG), help="default: %(default)s")
    add("--tasks", nargs="+", choices=_TASKS, default=["panoptic"], help="default: panoptic")
    add("--with", nargs="+", choices=("compiled", "onnxruntime"), default=[], dest="others")
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
    image = torch.randint(256, (3, args.size, args.size)).to(torch.uint8)
    inputs = [{"image": image, "height": args.size, "width": args.size}]
    find_segments(model, tuple(args.tasks), inputs)
    about: dict[str, Any] = {
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "size": args.size,
        "tasks": " ".join(args.tasks),
    }
    with torch.inference_mode():
        peaks = {name: matrix_product(dtype, model.device) for name, dtype in _TYPES.items()}
        about["gigaflop"] = round(network_flops(model, inputs) / 1e9, 1)
    turns, making = contestants(cfg, model, inputs, args.others)
    times = measure(turns, inputs, args.repeats)
    medians = {
        name: {stage: statistics.median(turn[stage] for turn in taken) for stage in taken[0]}
        for name, taken in times.items()
    }
    best = {name: min(turn["all"] for turn in taken) for name, taken in times.items()}
    shares = {
        name: about["gigaflop"] / (medians[name]["network"] / 1e3) / peaks[name] for name in _TYPES
    }
    report = {**about, "matrix products, GFLOP/s": peaks, "seconds to make": making}
    report |= {"milliseconds": medians, "best": best, "share of the peak": shares}
    if args.json:
        print(json.dumps(report, indent=1))
        return
    for key in (*about, "matrix products, GFLOP/s", "seconds to make", "share of the peak"):
        print(f"{key}: {report[key]}")
    for name, stages in medians.items():
        parts = ", ".join(f"{stage} {taken:.0f}" for stage, taken in stages.items())
        print(f"{name:12} {parts}; best {best[name]:.0f}")


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


def clock(device: torch.device) -> float:
    """Seconds of the processor with one thread, else of the wall."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time() if alone else now(device)


def matrix_product(dtype: torch.dtype, device: torch.device, side: int = 2048) -> float:
    """The most GFLOP/s of a few products of square matrices."""
    a, taken = torch.rand(side, side, device=device).to(dtype), []
    for _ in range(6):
        begin = clock(device)
        a @ a
        taken.append(clock(device) - begin)
    return 2 * side**3 / min(taken) / 1e9


def network_flops(model: nn.Module, inputs: Inputs) -> int:
    """Of the network's products, as PyTorch counts them in its own layers."""
    images = model.preprocess(inputs)[0]
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        FlopCounterMode(display=False) as counter,
    ):
        model.network(images.clone())
    return counter.get_total_flops()


def contestants(
    cfg: CfgNode, model: nn.Module, inputs: Inputs, others: Sequence[str]
) -> tuple[dict[str, Turn], dict[str, float]]:
    """Who takes turns, by name, and how many seconds it took to make those that are made."""
    turns: dict[str, Turn] = {name: _ours(model, name) for name in _TYPES}
    making: dict[str, float] = {}
    if CHECKOUT in os.environ:
        turns["published"] = _whole(published_segmenter(model), model.device)
    images = model.preprocess(inputs)[0]
    if "compiled" in others:
        begin = time.perf_counter()
        compiled = torch.compile(model.network, options={"freezing": True})
        turns["compiled"] = _whole(lambda _: compiled(images), model.device)
        with torch.inference_mode():
            turns["compiled"](inputs)
        making["compiled"] = time.perf_counter() - begin
    if "onnxruntime" in others:
        import onnxruntime

        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            path = export_model(cfg, model, Path(folder) / "model.onnx").path
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        making["onnxruntime"] = time.perf_counter() - begin
        given = {"images": images.numpy()}
        turns["onnxruntime"] = _whole(lambda _: session.run(None, given), model.device)
    return turns, making


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


def _whole(run: Callable[[Inputs], Any], device: torch.device) -> Turn:
    def turn(inputs: Inputs) -> dict[str, float]:
        begin = clock(device)
        run(inputs)
        return {"all": 1e3 * (clock(device) - begin)}

    return turn


def _ours(model: nn.Module, name: str) -> Turn:
    stages = {
        "backbone": model.backbone,
        "pixel decoder": model.sem_seg_head["pixel_decoder"],
        "transformer decoder": model.sem_seg_head["predictor"],
    }
    dtype = None if name == "float32" else _TYPES[name]

    def turn(inputs: Inputs) -> dict[str, float]:
        model.inference = dataclasses.replace(model.inference, dtype=dtype)
        taken: dict[str, float] = {}
        begin = clock(model.device)
        with _timed(stages, taken):
            model(inputs)
        total = 1e3 * (clock(model.device) - begin)
        network = sum(taken.values())
        return {**taken, "results": total - network, "network": network, "all": total}

    return turn


@contextmanager
def _timed(stages: dict[str, nn.Module], taken: dict[str, float]) -> Iterator[None]:
    """Adds to ``taken`` the milliseconds of each stage that runs meanwhile."""
    begun: dict[str, float] = {}
    handles = []
    for name, module in stages.items():
        device = next(module.parameters()).device

        def before(*_: object, name: str = name, device: torch.device = device) -> None:
            begun[name] = clock(device)

        def after(*_: object, name: str = name, device: torch.device = device) -> None:
            taken[name] = taken.get(name, 0.0) + 1e3 * (clock(device) - begun[name])

        handles.append(module.register_forward_pre_hook(before))
        handles.append(module.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


if __name__ == "__main__":
    exit_on_input_error(main)
