"""The tensors of a TorchScript archive, without TorchScript: no code of it is run or compiled.

Such an archive is a zip file of ``data.pkl`` (modules and tensors, pickled), ``data/N`` (the
tensors' numbers), ``constants.pkl`` and ``code/`` (the modules' source). OpenAI publishes CLIP's
weights as archives. The pickle is read by an unpickler that knows tensors, plain containers and
modules as bags of attributes; the source is searched, as text, for the names of each module's
parameters and buffers.
"""

import math
import os
import pickle  # only to subclass its Unpickler, which then admits tensors alone
import re
import zipfile
from collections import OrderedDict
from typing import Any

import torch

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
_NAME = r"[^\W\d]\w*"
_CLASS = re.compile(rf"^class ({_NAME})\(", re.MULTILINE)
_REGISTERED = re.compile(r"^  __(?:parameters|buffers)__ = \[(.*?)\]", re.MULTILINE | re.DOTALL)


class _Module:
    """What the archive says of a module: its type, as a name, and its attributes."""

    kind = ""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"a module {self.kind} without named attributes")
        self.attributes = state


class _TensorUnpickler(pickle.Unpickler):
    """Admits tensors, plain containers and modules without behaviour."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(archive.open(f"{folder}data.pkl"))
        self._archive, self._folder = archive, folder
        self._storages: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return type("_Module", (_Module,), {"kind": f"{module}.{name}"})
        if module == "collections" and name == "OrderedDict":
            return OrderedDict
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return _rebuilt
        if module == "torch.jit._pickle" and name in _LISTS:
            return list
        if module == "torch.jit._pickle" and name == "restore_type_tag":
            return _untagged
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> torch.Tensor:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise pickle.UnpicklingError("a reference to something that is no storage")
        _, dtype, key, _, size = pid
        if not isinstance(dtype, torch.dtype) or not re.fullmatch(r"\w+", str(key)):
            raise pickle.UnpicklingError("a storage of no known type")
        if key not in self._storages:
            entry = self._archive.getinfo(f"{self._folder}data/{key}")
            # So that what is read is never more than the file itself.
            if entry.compress_type != zipfile.ZIP_STORED:
                raise pickle.UnpicklingError("a storage that is compressed")
            numbers = self._archive.read(entry)
            if not isinstance(size, int) or len(numbers) != size * dtype.itemsize:
                raise pickle.UnpicklingError("a storage of another length")
            read = torch.frombuffer(bytearray(numbers), dtype=dtype) if numbers else torch.empty(0)
            self._storages[key] = read.to(dtype)
        return self._storages[key]


def _rebuilt(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    if not isinstance(storage, torch.Tensor) or not all(map(_is_extent, (offset, *size, *stride))):
        raise pickle.UnpicklingError("a tensor of no known form")
    if math.prod(size) > storage.numel():  # strides of 0 would make much out of little
        raise pickle.UnpicklingError("a tensor larger than its storage")
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def _is_extent(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _untagged(value: Any, _: Any) -> Any:
    return value


def is_torchscript_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a TorchScript archive rather than what ``torch.save`` writes."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(re.fullmatch(r"[^/]+/constants\.pkl", name) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read_torchscript_archive(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The parameters and buffers of an archive, by the names of its state dict.

    Types are kept: float16 stays float16.

    Raises:
        pickle.UnpicklingError: it asks for anything but tensors, containers and modules, or it
            holds no tensor.
        zipfile.BadZipFile, KeyError, RuntimeError, ...: it is damaged. See
            :func:`pading.tensor_files.read_tensor_file`, which makes InputErrors of them all.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        folder = next(name for name in names if name.endswith("/constants.pkl")).partition("/")[0]
        order = f"{folder}/byteorder"
        if order in names and archive.read(order) != b"little":
            raise pickle.UnpicklingError("its numbers are not little-endian")
        registered: dict[str, set[str]] = {}
        for name in names:
            if name.startswith(f"{folder}/code/") and name.endswith(".py"):
                module = name.removeprefix(f"{folder}/code/").removesuffix(".py").replace("/", ".")
                registered |= _registered(module, archive.read(name).decode())
        root = _TensorUnpickler(archive, f"{folder}/").load()
    tensors: dict[str, torch.Tensor] = {}
    _collect(root, "", registered, tensors)
    if not tensors:
        raise pickle.UnpicklingError("it holds no tensor")
    return tensors


def _registered(module: str, source: str) -> dict[str, set[str]]:
    """Class name -> the names of its parameters and buffers, out of the text of a source file."""
    starts = [*_CLASS.finditer(source)]
    ends = [start.start() for start in starts[1:]] + [len(source)]
    found = {}
    for start, end in zip(starts, ends, strict=True):
        lists = _REGISTERED.findall(source, start.end(), end)
        found[f"{module}.{start[1]}"] = {n for text in lists for n in re.findall(r'"(.+?)"', text)}
    return found


def _collect(
    module: Any, prefix: str, registered: dict[str, set[str]], tensors: dict[str, torch.Tensor]
) -> None:
    """Add the tensors of a module and of those in it; a module is met once along each path."""
    if not isinstance(module, _Module):
        raise pickle.UnpicklingError("it holds no module")
    if module.kind not in registered:
        raise pickle.UnpicklingError(f"the source of {module.kind} is missing")
    if prefix.count(".") > 100:
        raise pickle.UnpicklingError("its modules hold each other")
    for name, value in module.attributes.items():
        if isinstance(value, torch.Tensor) and name in registered[module.kind]:
            tensors[prefix + name] = value
        elif isinstance(value, _Module):
            _collect(value, f"{prefix}{name}.", registered, tensors)
