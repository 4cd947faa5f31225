"""Two networks on the CPU in turns: seconds, resident memory, and how far their outputs differ."""

import ctypes
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from script_timing import now
from torch import Tensor

from pading.errors import InputError

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_CPU = torch.device("cpu")

Network = Callable[[Tensor], Tensor]


def compare(
    networks: dict[str, Network], images: Tensor, repeats: int, gradients: bool = False
) -> dict[str, Any]:
    """Seconds, MiB and the largest difference of two networks on images.

    Args:
        networks: "published" and "ours".
        images: (B, 3, H, W).
        repeats: how often each runs, after one run that is not counted.
        gradients: autograd is on.
    """
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    memory: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode(not gradients):
        outputs = {name: network(images) for name, network in networks.items()}
        difference = float((outputs["ours"] - outputs["published"]).abs().max())
        del outputs
        for _ in range(repeats):
            for name, network in networks.items():
                forget_peak()
                before, start = resident("VmRSS"), now(_CPU)
                network(images)
                seconds[name].append(now(_CPU) - start)
                memory[name].append((resident("VmHWM") - before) / 2**20)
    found: dict[str, Any] = {name: statistics.median(taken) for name, taken in seconds.items()}
    peaks = {f"{name}_mib": statistics.median(used) for name, used in memory.items()}
    return {**found, **peaks, "difference": difference}


def forget_peak() -> None:
    """Let the high-water mark of the resident memory start anew, from what is in use."""
    ctypes.CDLL(None).malloc_trim(0)
    _CLEAR.write_text("5", encoding="ascii")


def resident(field: str) -> int:
    """Bytes: VmRSS, the present resident memory, or VmHWM, its highest since it was reset."""
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise InputError(f"{_STATUS} has no {field}; measure on Linux")
    return int(found[1]) * 1024
