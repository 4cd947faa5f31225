"""Weights: a state dict out of any file of tensors, and files that are written whole."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import save_file

from pading.checkpoint.transformers_folder import read_indexed, weights_file
from pading.checkpoint.transformers_names import is_theirs, to_ours
from pading.errors import InputError
from pading.files import writing
from pading.tensor_files import read_tensor_file


def read_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint: ``.safetensors``, ``.pkl`` of NumPy arrays, ``torch.save``, TorchScript.

    Or a folder of the package transformers; names of its Mask2Former become ours.

    Returns:
        the checkpoint; ``["model"]`` is the state dict, as tensors.

    Raises:
        InputError: a missing, truncated or malformed file, or one that holds more than tensors,
            arrays and plain containers.
    """
    path = weights_file(os.fspath(path))
    read: Callable[[str], Any] = read_tensor_file
    if path.endswith(".index.json"):
        read = read_indexed
    content = read(path)
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
    tensors = {str(name): _as_tensor(path, name, value) for name, value in model.items()}
    try:
        content["model"] = to_ours(tensors) if is_theirs(tensors) else tensors
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return content


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
