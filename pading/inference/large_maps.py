"""Memory for results that are larger than a processor's caches."""

import contextlib
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor

_LARGE = 2**24
"""Bytes from which on it pays."""


def large_zeros(shape: Sequence[int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Zeros of a shape, on the device of ``like`` and of its type unless another is given.

    Linux hands out memory 4 kB at a time, when it is first written to. For a hundred megabytes
    that takes longer than to fill them, so huge pages are asked for.
    """
    dtype = dtype or like.dtype
    size = torch.Size(shape).numel() * dtype.itemsize
    if like.device.type != "cpu" or size < _LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return like.new_zeros(shape, dtype=dtype)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(*shape)
