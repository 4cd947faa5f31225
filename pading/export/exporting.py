"""From a model to a file: ONNX, torch.export's, or AOTInductor's; see :func:`export_model`."""

import copy
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode

from pading.errors import InputError
from pading.export.checking import TOLERANCE, check
from pading.export.describing import described_tensors, description
from pading.export.graph_files import compiled_file, onnx_file, program_file
from pading.export.network import ExportedNetwork, Sizes, capture
from pading.export.results_network import ResultsNetwork
from pading.models.base import SegmentationModel
from pading.runtime.description import written

OPSET = 18
"""Of ONNX: what PyTorch's exporter writes without a conversion."""


class Exported(NamedTuple):
    """What was written."""

    path: Path
    difference: float
    """From PyTorch's outputs; see :func:`pading.export.checking.check`."""


def export_model(
    cfg: CfgNode,
    model: SegmentationModel,
    path: str | os.PathLike[str],
    *,
    sizes: Sizes | None = None,
    opset: int = OPSET,
    compiled: bool = False,
    results: bool = False,
    tolerance: float = TOLERANCE,
) -> Exported:
    """Write a model's network to a file, once its outputs are PyTorch's.

    Args:
        cfg: the model's configuration.
        model: any system's; it stays as it is.
        path: ends in .onnx, or in .pt2: torch.export's, or AOTInductor's where ``compiled``.
        sizes: what of batch and image is fixed; by default nothing.
        opset: of ONNX.
        compiled: a .pt2 of machine code for this kind of processor, without Python.
        results: the graph takes one image of pixels and gives results, see
            :class:`~pading.export.results_network.ResultsNetwork`; else the network's own outputs.
        tolerance: see :func:`pading.export.checking.check`.

    Raises:
        InputError: another ending, sizes that the model does not take, packages that are missing,
            outputs unlike PyTorch's, or a file that cannot be written.
    """
    path, sizes = Path(path), sizes or Sizes()
    if path.suffix not in (".onnx", ".pt2") or (compiled and path.suffix != ".pt2"):
        raise InputError(f"{path}: a model is exported to .onnx, or to .pt2 (compiled, too)")
    model = on_cpu(model)
    _check_sizes(sizes, model.image_divisor)
    network = ResultsNetwork(model) if results else ExportedNetwork(model)
    if results:
        sizes = Sizes(1, sizes.image)
    graph: dict[str, Any] = {"gives": "results" if results else "outputs"}
    if path.suffix == ".onnx":
        graph["opset"] = opset
    about = description(cfg, model, sizes, graph)
    entries = written(about, described_tensors(model))
    write: Callable[..., Any] = program_file
    if path.suffix == ".onnx":
        write = onnx_file
    elif compiled:
        write = compiled_file
    program = capture(network, sizes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
            run = write(program, network, Path(folder) / path.name, entries, opset)
            difference = check(network, run, sizes, tolerance, str(path))
            # What has the weights, where a file of its own has them, before what names it.
            for made in sorted(Path(folder).iterdir(), key=lambda file: file.name == path.name):
                os.replace(made, path.parent / made.name)
    except OSError as error:
        raise InputError(
            f"{path}: cannot write this file: {error.strerror or error}; make room or mind the "
            "permissions there"
        ) from error
    return Exported(path, difference)


def on_cpu(model: SegmentationModel) -> SegmentationModel:
    """The model in evaluation mode, in float32 on the CPU; a copy where it is elsewhere."""
    there = {(tensor.device.type, tensor.dtype) for tensor in model.parameters()}
    if there <= {("cpu", torch.float32)}:
        return model.eval()
    return copy.deepcopy(model).cpu().float().eval()


def _check_sizes(sizes: Sizes, divisor: int) -> None:
    if sizes.batch is not None and sizes.batch < 1:
        raise InputError(f"a batch of {sizes.batch} images: give at least 1, or leave it open")
    if sizes.image and (min(sizes.image) < 1 or any(side % divisor for side in sizes.image)):
        raise InputError(
            f"an image size of {sizes.image[0]} x {sizes.image[1]}: this model takes multiples of "
            f"{divisor}"
        )
