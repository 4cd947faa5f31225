"""Files of tensors, read without ever running what is in them."""

import io
import os
import pickle  # only to subclass its Unpickler, which then admits arrays alone
import re
import zipfile
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file

from pading.errors import InputError
from pading.torchscript_archive import is_torchscript_archive, read_torchscript_archive


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


def read_tensor_file(path: str | os.PathLike[str]) -> Any:
    """Read ``.safetensors``, a ``.pkl`` of NumPy arrays, or what PyTorch wrote.

    Returns:
        what is in it, as it is there: tensors, arrays and plain containers. Of a TorchScript
        archive, and of ``.safetensors``, its tensors by name.

    Raises:
        InputError: a missing, truncated or malformed file, or one that holds anything else.
    """
    path = os.fspath(path)
    try:
        open(path, "rb").close()
    except OSError as error:
        raise InputError(f"{path}: cannot read these weights: {error.strerror or error}") from error
    try:
        return _read(path)
    except (
        pickle.UnpicklingError,
        safetensors.SafetensorError,
        zipfile.BadZipFile,
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
    ) as error:
        raise InputError(
            f"{path}: not a file of weights that can be trusted: {_reason(error)}; it must hold "
            "tensors or arrays alone and be complete: download or save it again"
        ) from error


def _read(path: str) -> Any:
    if path.endswith(".safetensors"):
        return load_file(path)
    if path.endswith(".pkl"):
        with open(path, "rb") as file:
            return _ArrayUnpickler(io.BytesIO(file.read()), encoding="latin1").load()
    if is_torchscript_archive(path):
        return read_torchscript_archive(path)
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
