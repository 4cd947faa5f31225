"""A pretend GPU: its tensors lie on the CPU, but say that they do not.

Operations on tensors of both devices are refused as a GPU refuses them, so mistakes that only a GPU
would show are found without one. A process that imports this has the device "pretend" for good, so
tests run what uses it in a process of its own.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend


class _Backend:
    """What PyTorch asks of a device's module; autocast, even where it is off, for types."""

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return []

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        """Its numbers are drawn on the CPU."""


_setup_privateuseone_for_python_backend("pretend", backend_module=_Backend())
# torch.tensor(..., device) makes a tensor on the CPU and moves it, past which no operator goes.
torch._C._set_only_lift_cpu_tensors(True)
DEVICE = torch.device("pretend", 0)

_ACROSS = ("aten::copy_", "aten::_to_copy")
_INDEXING = ("aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::index_put")


class MixedDevicesError(RuntimeError):
    """Tensors of different devices where a GPU wants them on one."""


class PretendTensor(torch.Tensor):
    """On the pretend GPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "PretendTensor":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    def __repr__(self) -> str:
        return f"PretendTensor({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})

    # What PyTorch does without an operator, or behind their back.

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(torch.tensor(index) if isinstance(index, list) else index)


class PretendGPU(TorchDispatchMode):
    """In the block, ``device="pretend"`` can be asked for, and mixed devices are refused."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def moved(module: nn.Module) -> nn.Module:
    """A module with its parameters and buffers on the pretend GPU."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                there = PretendTensor(value.detach())
                part._parameters[name] = nn.Parameter(there, value.requires_grad)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = PretendTensor(value)
    return module


def _run(function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    name, device = function._schema.name, kwargs.get("device")
    tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    there = any(isinstance(x, PretendTensor) for x in tensors)
    if there and name not in _ACROSS:
        _refuse_mixed(name, args, tensors)
    arguments, keywords = pytree.tree_map(_on_cpu, (args, kwargs))
    out = function(*arguments, **keywords)
    if there if device is None else torch.device(device).type == DEVICE.type:
        out = pytree.tree_map_only(Tensor, PretendTensor, out)
    # A move gives a new tensor; everything else may give a view, or one of its arguments.
    if not there or name == "aten::_to_copy":
        return out
    return return_and_correct_aliasing(function, args, kwargs, out)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.device) and value.type == DEVICE.type:
        return torch.device("cpu")
    return value.inner if isinstance(value, PretendTensor) else value


def _refuse_mixed(name: str, args: tuple, tensors: list[Tensor]) -> None:
    """Numbers may be on the CPU, and so may the indices into a tensor of a GPU."""
    if name in _INDEXING and isinstance(args[0], PretendTensor):
        tensors = [x for x in pytree.tree_leaves((args[0], args[2:])) if isinstance(x, Tensor)]
    wrong = [x for x in tensors if x.dim() and not isinstance(x, PretendTensor)]
    if wrong:
        shapes = [(tuple(x.shape), str(x.device)) for x in tensors]
        raise MixedDevicesError(f"{name} of tensors on different devices: {shapes}")
