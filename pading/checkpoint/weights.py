"""Reading files of weights without ever running what is in them."""

import io
import os
import pickle  # only to subclass its Unpickler, which then admits arrays alone
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file

from pading.errors import InputError
from pading.files import writing


def _bytes(text: str, encoding: str) -> bytes:
    """How a pickle of protocol 2 written by Python 3 spells bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding}")
    return text.encode(encoding)


# What a pickle of plain arrays needs, under the names that old and new NumPy write. The functions
# are private, but the pickles of arrays and scalars name them.
_FUNCTIONS = {
    "multiarray._reconstruct": np.empty(0).__reduce__()[0],
    "multiarray.scalar": np.float32(0).__reduce__()[0],
    "numeric._frombuffer": np.empty(0).__reduce_ex__(5)[0],
}
_ADMITTED = {
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "collections.OrderedDict": OrderedDict,
    "_codecs.encode": _bytes,
    **{
        f"numpy.{core}.{name}": function
        for core in ("core", "_core")
        for name, function in _FUNCTIONS.items()
    },
}


class _ArrayUnpickler(pickle.Unpickler):
    """Admits NumPy arrays and plain containers, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        wanted = f"{module}.{name}"
        if wanted not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {wanted}")
        return _ADMITTED[wanted]


def read_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint: ``.safetensors``, ``.pkl`` of NumPy arrays, or what ``torch.save`` wrote.

    Returns:
        the checkpoint; ``["model"]`` is the state dict, as tensors.

    Raises:
        InputError: a missing, truncated or malformed file, or one that holds more than tensors,
            arrays and plain containers.
    """
    path = os.fspath(path)
    try:
        open(path, "rb").close()
    except OSError as error:
        raise InputError(f"{path}: cannot read these weights: {error.strerror or error}") from error
    try:
        content = _read(path)
    except (
        pickle.UnpicklingError,
        safetensors.SafetensorError,
        zipfile.BadZipFile,
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
    ) as error:
        raise InputError(
            f"{path}: not a file of weights that can be trusted: {_reason(error)}; it must hold "
            "tensors or arrays alone and be complete: download or save it again"
        ) from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: expected a dictionary of tensors, found {type(content).__name__}"
        )
    if "model" not in content and "state_dict" in content:  # as Lightning writes it
        content["model"] = content.pop("state_dict")
    if "model" not in content:
        content = {"model": content}
    model = content["model"]
    if not isinstance(model, dict) or not model:
        raise InputError(f"{path}: it holds no state dict under 'model'")
    content["model"] = {str(name): _as_tensor(path, name, value) for name, value in model.items()}
    return content


def _read(path: str) -> Any:
    if path.endswith(".safetensors"):
        return {"model": load_file(path)}
    if path.endswith(".pkl"):
        with open(path, "rb") as file:
            return _ArrayUnpickler(io.BytesIO(file.read()), encoding="latin1").load()
    with _numpy_admitted():
        return torch.load(path, map_location="cpu", weights_only=True)


def _numpy_admitted() -> AbstractContextManager:
    """Lets torch.load read NumPy's arrays and scalars, too, where PyTorch can be told their names.

    Elsewhere a file with them is refused.
    """
    if torch.torch_version.TorchVersion(torch.__version__) < "2.7":
        return nullcontext()
    types = [type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OSUVMm"]
    functions: list[Any] = [(function, name) for name, function in _ADMITTED.items()]
    return torch.serialization.safe_globals([*functions, *types])


def _reason(error: Exception) -> str:
    """What a reader has found, in one line; PyTorch's advice to trust the file is left out."""
    text = str(error).strip()
    asked = re.search(r"GLOBAL (\S+)|it asks for (\S+)", text)
    if asked:
        return f"it asks for {asked[1] or asked[2]}"
    if isinstance(error, (safetensors.SafetensorError, RuntimeError)) and text:
        return text.splitlines()[0]
    return "it is damaged, cut off or of another format"


def write_weights(path: str | os.PathLike[str], weights: Mapping[str, torch.Tensor]) -> None:
    """Write a state dict to a ``.safetensors`` or ``.pth`` file, whole or not at all.

    Raises:
        InputError: another ending, or a file that cannot be written.
    """
    path = os.fspath(path)
    # Tensors may share memory, as a copied class head does; each is written as its own.
    tensors = {name: value.detach().cpu().clone() for name, value in weights.items()}
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    if not path.endswith((".safetensors", ".pth")):
        raise InputError(f"{path}: weights are written to a .safetensors or .pth file")
    with writing(path) as temporary:
        try:
            if path.endswith(".pth"):
                torch.save({"model": tensors}, temporary)
            else:
                save_file(tensors, temporary)
        except (RuntimeError, safetensors.SafetensorError) as error:  # of their writers
            raise OSError(str(error).splitlines()[0]) from error


def _as_tensor(path: str, name: str, value: Any) -> torch.Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        value = torch.from_numpy(np.asarray(value, order="C"))  # keeps 0 dimensions
    if not isinstance(value, torch.Tensor):
        raise InputError(
            f"{path}: {name} is no tensor but {type(value).__name__}; "
            "give a file that holds a state dict alone, or one under 'model'"
        )
    if not value.isfinite().all():
        raise InputError(
            f"{path}: {name} holds NaN or infinite values; its training had diverged: take an "
            "earlier checkpoint, or save it again"
        )
    return value
