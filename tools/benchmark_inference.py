#!/usr/bin/env python3
"""Time the inference of one image by stage, with the compiled op and with plain PyTorch for it.

    python tools/benchmark_inference.py

The segmenter has random weights: its speed does not depend on them, but for the results, which take
longer the more segments there are. The versions take turns within one run, so that a busy machine
disturbs them alike; printed are medians in milliseconds. KEY VALUE pairs behind the options
override the configuration, such as MODEL.DEVICE cpu. With MODEL.INFERENCE.DTYPE bfloat16 the
compiled op is timed in mixed precision too.
"""

import argparse
import dataclasses
import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from pading_ops import HAS_EXTENSION, ms_deform_attn, ms_deform_attn_reference
from script_timing import now
from torch import Tensor, nn
from tqdm import tqdm

from pading import load_config, register_datasets
from pading.config import check_settings
from pading.engine.building import configured_model
from pading.errors import InputError, exit_on_input_error
from pading.layers import pixel_decoder

_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "panoptic" / "pretrain.yaml"

Version = tuple[Callable[..., Tensor], torch.dtype | None]  # the op, type of mixed precision

_OPS = {"plain PyTorch": ms_deform_attn_reference, "compiled op": ms_deform_attn}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", default=str(_CONFIG), help="default: %(default)s")
    parser.add_argument("--size", type=int, default=512, help="sides of the image (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of each version (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args()
    if args.size < 1 or args.repeats < 1:
        parser.error("--size and --repeats: at least 1")
    return args


def main() -> None:
    args = parse_args()
    if not HAS_EXTENSION:
        raise InputError(
            "pading_ops was built without its extension, so nothing can be compared; rebuild it "
            "with BUILD_OPS=1 (pip install --no-build-isolation -e .)"
        )
    cfg = load_config(args.config_file, args.overrides)
    check_settings(cfg)
    register_datasets(cfg)
    model = configured_model(cfg).eval()
    versions: dict[str, Version] = {name: (op, None) for name, op in _OPS.items()}
    dtype = model.inference.dtype
    if dtype is not None:
        versions[cfg.MODEL.INFERENCE.DTYPE] = (_OPS["compiled op"], dtype)
    times = measure(model, versions, args.size, args.repeats)
    medians = {
        name: {stage: statistics.median(taken) for stage, taken in stages.items()}
        for name, stages in times.items()
    }
    about = {
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "size": args.size,
    }
    if args.json:
        print(json.dumps({**about, "milliseconds": medians}, indent=1))
        return
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(f"{'stage':20}", *(f"{name:>14}" for name in medians))
    for stage in next(iter(medians.values())):
        print(f"{stage:20}", *(f"{stages[stage]:14.1f}" for stages in medians.values()))


def measure(
    model: nn.Module, versions: Mapping[str, Version], size: int, repeats: int
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every repeat, by version and by stage.

    Args:
        model: a segmenter in evaluation mode.
        versions: by name.
        size: of the square image, in pixels.
        repeats: how often each version runs, after one run that is not counted.
    """
    image = torch.randint(256, (3, size, size), generator=torch.Generator().manual_seed(0))
    inputs = [{"image": image.to(torch.uint8), "height": size, "width": size}]
    stages = {
        "backbone": model.backbone,
        "pixel decoder": model.sem_seg_head["pixel_decoder"],
        "transformer decoder": model.sem_seg_head["predictor"],
    }
    times: dict[str, dict[str, list[float]]] = {name: {} for name in versions}
    for repeat in tqdm(range(repeats + 1), leave=False):
        for name, (op, dtype) in versions.items():
            model.inference = dataclasses.replace(model.inference, dtype=dtype)
            with mock.patch.object(pixel_decoder, "ms_deform_attn", op):
                taken = _run(model, inputs, stages)
            if repeat > 0:
                for stage, milliseconds in taken.items():
                    times[name].setdefault(stage, []).append(milliseconds)
    return times


def _run(
    model: nn.Module, inputs: list[dict[str, Any]], stages: dict[str, nn.Module]
) -> dict[str, float]:
    taken: dict[str, float] = {}
    with torch.inference_mode(), _timed(stages, taken):
        begin = now(model.device)
        model(inputs)
        total = 1e3 * (now(model.device) - begin)
    taken["results"] = total - sum(taken.values())
    taken["all"] = total
    return taken


@contextmanager
def _timed(stages: dict[str, nn.Module], taken: dict[str, float]) -> Iterator[None]:
    """Adds to ``taken`` the milliseconds of each stage that runs meanwhile."""
    begun: dict[str, float] = {}
    handles = []
    for name, module in stages.items():
        device = next(module.parameters()).device

        def before(*_: object, name: str = name, device: torch.device = device) -> None:
            begun[name] = now(device)

        def after(*_: object, name: str = name, device: torch.device = device) -> None:
            taken[name] = taken.get(name, 0.0) + 1e3 * (now(device) - begun[name])

        handles.append(module.register_forward_pre_hook(before))
        handles.append(module.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


if __name__ == "__main__":
    exit_on_input_error(main)
