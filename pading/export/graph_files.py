"""A captured graph as a file, and a function that runs the file."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from pading.errors import InputError
from pading.export.checking import Run
from pading.export.network import IMAGES, ExportedNetwork

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def onnx_file(
    program: ExportedProgram,
    network: ExportedNetwork,
    path: Path,
    entries: Mapping[str, str],
    opset: int,
) -> Run:
    """Write ONNX without custom operators; weights of over 2 GB go to ``path`` + ".data".

    Args:
        program: of the network.
        network: names the inputs.
        path: where to.
        entries: the file's metadata.
        opset: of the standard operators.

    Raises:
        InputError: a package is missing.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"{missing[0]} is not installed, which ONNX takes: pip install 'pading[export]'"
        )
    import onnxruntime

    names = [IMAGES, *network.class_inputs]
    outputs = output_names(program)
    made: Any = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=opset,
        input_names=names,
        output_names=outputs,
        verbose=False,
    )
    made.model.metadata_props.update(entries)
    made.save(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(os.fspath(path), options, ["CPUExecutionProvider"])

    def run(inputs: Sequence[Tensor]) -> dict[str, Any]:
        given = dict(zip(names, (value.numpy() for value in inputs), strict=True))
        return dict(zip(outputs, session.run(outputs, given), strict=True))

    return run


def program_file(
    program: ExportedProgram,
    network: ExportedNetwork,
    path: Path,
    entries: Mapping[str, str],
    opset: int,
) -> Run:
    """Write what ``torch.export.load`` reads, and any later compiler takes.

    Args:
        program, network, path, opset: see :func:`onnx_file`.
        entries: the file's extra files.
    """
    torch.export.save(program, path, extra_files=dict(entries))
    loaded = torch.export.load(path).module()
    return lambda inputs: _as_arrays(loaded(*inputs))


def compiled_file(
    program: ExportedProgram,
    network: ExportedNetwork,
    path: Path,
    entries: Mapping[str, str],
    opset: int,
) -> Run:
    """Write machine code for this kind of processor, which ``aoti_load_package`` runs.

    Args:
        program, network, path, opset: see :func:`onnx_file`.
        entries: the package's metadata.
    """
    from torch._inductor import aoti_compile_and_package, aoti_load_package

    settings = {"aot_inductor.metadata": dict(entries), "freezing": True}
    aoti_compile_and_package(program, package_path=os.fspath(path), inductor_configs=settings)
    loaded = aoti_load_package(os.fspath(path))
    return lambda inputs: _as_arrays(loaded(*inputs))


def output_names(program: ExportedProgram) -> list[str]:
    """Of what the graph gives, in order."""
    structure = program.call_spec.out_spec
    return list(structure.unflatten(range(structure.num_leaves)))


def _as_arrays(outputs: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: value.detach().numpy() for name, value in outputs.items()}
