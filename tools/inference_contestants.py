"""Who takes part in ``benchmark_inference.py``: ours in each type, and others beside it."""

import copy
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from published_network import CHECKOUT, published_segmenter
from script_timing import now
from torch import Tensor, nn

from pading.checkpoint.transformers_folder import write_folder
from pading.export import export_model
from pading.layers.eight_bits import Range
from pading.layers.ranges import measured_ranges

OTHERS = ("compiled", "onnxruntime", "openvino", "transformers")
"""What beside ours and the published code can take part."""

Inputs = list[dict[str, Any]]
Turn = Callable[[Inputs], dict[str, float]]
"""Looks at an image and says how many milliseconds each stage took; "all" is their sum."""


def types_here(device: torch.device) -> dict[str, torch.dtype]:
    """Types that this machine computes in, by name."""
    found = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if device.type == "cpu" and torch.cpu._is_vnni_supported():
        found["int8"] = torch.int8
    return found


def clock(device: torch.device) -> float:
    """Seconds of the processor with one thread, else of the wall."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time() if alone else now(device)


def stages_of(model: nn.Module) -> dict[str, nn.Module]:
    """Parts of a segmenter by name, in order."""
    return {
        "backbone": model.backbone,
        "pixel decoder": model.sem_seg_head["pixel_decoder"],
        "transformer decoder": model.sem_seg_head["predictor"],
    }


def contestants(
    cfg: CfgNode, model: nn.Module, inputs: Inputs, others: Sequence[str]
) -> tuple[dict[str, Turn], dict[str, float]]:
    """Who takes turns, by name, and how many seconds it took to make those that are made."""
    ranges = {}
    if "int8" in types_here(model.device):
        ranges = measured_ranges(model, model.look, [inputs])
    turns: dict[str, Turn] = {
        name: _ours(model, dtype, ranges) for name, dtype in types_here(model.device).items()
    }
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
    if "transformers" in others:
        turns["transformers"] = _whole(_transformers(cfg, model, images, inputs), model.device)
    if {"onnxruntime", "openvino"} & {*others}:
        given = {"images": images.numpy()} | {
            name: value.numpy() for name, value in model.class_inputs.items()
        }
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            path = export_model(cfg, model, Path(folder) / "model.onnx").path
            exporting = time.perf_counter() - begin
            for name in others:
                if name in _RUNTIMES:
                    begin = time.perf_counter()
                    turns[name] = _whole(_RUNTIMES[name](path, given), model.device)
                    making[name] = exporting + time.perf_counter() - begin
    return turns, making


def _onnxruntime(path: Path, given: Mapping[str, Any]) -> Callable[[Inputs], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    return lambda _: session.run(None, given)


def _openvino(path: Path, given: Mapping[str, Any]) -> Callable[[Inputs], Any]:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return lambda _: compiled(given)


_RUNTIMES = {"onnxruntime": _onnxruntime, "openvino": _openvino}


def _transformers(
    cfg: CfgNode, model: nn.Module, images: Tensor, inputs: Inputs
) -> Callable[[Inputs], Any]:
    """That package's Mask2Former with our weights, and its panoptic results with our thresholds."""
    import transformers

    names, rows = model.split.names, model.head_rows[:-1].tolist()
    labels = {row: name for name, row in zip(names, rows, strict=True) if row >= 0}
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), model.state_dict(), labels, cfg.MODEL.SEGMENTER.NUM_HEADS)
        theirs = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(folder).eval()
    results = transformers.Mask2FormerImageProcessor().post_process_panoptic_segmentation
    size = [(inputs[0]["height"], inputs[0]["width"])]
    how = model.inference
    return lambda _: results(
        theirs(images),
        threshold=how.score_threshold,
        overlap_mask_area_threshold=how.overlap_threshold,
        target_sizes=size,
    )


def _whole(run: Callable[[Inputs], Any], device: torch.device) -> Turn:
    def turn(inputs: Inputs) -> dict[str, float]:
        begin = clock(device)
        run(inputs)
        return {"all": 1e3 * (clock(device) - begin)}

    return turn


def _ours(model: nn.Module, dtype: torch.dtype, ranges: Mapping[str, Range]) -> Turn:
    own = copy.deepcopy(model)  # which keeps its packed weights
    own.inference = dataclasses.replace(
        model.inference,
        dtype=None if dtype == torch.float32 else dtype,
        int8_ranges=ranges if dtype == torch.int8 else {},
    )

    def turn(inputs: Inputs) -> dict[str, float]:
        taken: dict[str, float] = {}
        begin = clock(own.device)
        with _timed(stages_of(own), taken):
            own(inputs)
        total = 1e3 * (clock(own.device) - begin)
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
