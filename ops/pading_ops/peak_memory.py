"""Peak memory of the op's forward and backward pass, scratch included.

On the CPU it is the resident memory of a process of its own (Linux), in which freed blocks go back
to the system at once; on CUDA what PyTorch has allocated.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from pading_ops.functional import ms_deform_attn
from pading_ops.settings import DTYPES, SETTINGS, Setting, make_inputs

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_WARM_UP = Setting((4, 2), B=1, M=8, D=32)


@dataclass(frozen=True)
class Peak:
    """Bytes at the peak of one forward and backward pass."""

    setting: str
    dtype: str
    tensors: int  # inputs, output and gradients, the output's among them
    used: int  # what there was at the peak, inputs included


def measure_peaks(device: str, settings: list[str], dtypes: list[str]) -> list[Peak]:
    """The peaks of the op; on the CPU with as many threads as here.

    Args:
        device: "cpu" or "cuda".
        settings: keys of SETTINGS.
        dtypes: keys of DTYPES.

    Returns:
        One entry for each setting and type; none on the CPU of another system than Linux.
    """
    if device == "cuda":
        return [_peak(device, setting, dtype) for setting in settings for dtype in dtypes]
    if not _CLEAR.exists():
        print("peak memory on the CPU can be measured on Linux only", file=sys.stderr)
        return []
    request = json.dumps([torch.get_num_threads(), settings, dtypes])
    command = [sys.executable, "-m", "pading_ops.peak_memory", request]
    # Every block of more than a few pages is mapped, and unmapped when freed.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 16)}
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [Peak(**row) for row in json.loads(run.stdout)]


def _peak(device: str, setting: str, dtype: str) -> Peak:
    _run(make_inputs(_WARM_UP, DTYPES[dtype], device))  # threads, code, autograd's own
    inputs = make_inputs(SETTINGS[setting], DTYPES[dtype], device)
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        _CLEAR.write_text("5", encoding="ascii")  # the high-water mark starts anew
        before = _resident("VmRSS")
    results = _run(inputs)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else _resident("VmHWM")
    inputs_size = sum(t.nbytes for t in inputs)
    results_size = sum(t.nbytes for t in results)
    return Peak(setting, dtype, inputs_size + results_size, inputs_size + peak - before)


def _run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Output and gradients."""
    value, shapes, starts, locations, weights, grad_output = inputs
    leaves = [t.detach().requires_grad_() for t in (value, locations, weights)]
    output = ms_deform_attn(leaves[0], shapes, starts, leaves[1], leaves[2])
    return output, *torch.autograd.grad(output, leaves, grad_output)


def _resident(field: str) -> int:
    """VmRSS, the present resident memory, or VmHWM, its highest since it was last reset."""
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{_STATUS} has no {field}")
    return int(found[1]) * 1024


def main() -> None:
    """What measure_peaks runs: peaks as JSON."""
    threads, settings, dtypes = json.loads(sys.argv[1])
    torch.set_num_threads(threads)
    peaks = [_peak("cpu", setting, dtype) for setting in settings for dtype in dtypes]
    print(json.dumps([asdict(peak) for peak in peaks]))


if __name__ == "__main__":
    main()
