"""Times the op against its alternatives: ``python -m pading_ops.benchmark [--device cuda]``.

Shapes of reference: the pixel decoder's levels at strides 8, 16 and 32 of a 1024 x 1024 or
512 x 512 image, 8 heads of 32 channels, 4 points a level, drawn within a few pixels of the query's
own place as a trained encoder does; and the small model of ``make demo``.

Within one run every contender is timed in turn, over and over, so that a busy machine disturbs all
of them alike. Ratios are of medians, to the plain PyTorch version in float32. The floor is the time
that the inputs, outputs and gradients take to pass through memory once, at the speed of a large
copy that is timed in the same turns. Peak memory of forward + backward is measured apart.

PADING_OPS_COMPARE may name an importable module with the published op's interface
(``ms_deform_attn_forward/backward`` with a trailing ``im2col_step``); it is then measured too.
"""

import argparse
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from pading_ops import ms_deform_attn, ms_deform_attn_reference
from pading_ops.peak_memory import Peak, measure_peaks
from pading_ops.settings import DTYPES, SETTINGS, Setting, make_inputs

COMPARE_VARIABLE = "PADING_OPS_COMPARE"
_COPY = "copy"


@dataclass(frozen=True)
class Result:
    """Times in milliseconds of one contender."""

    setting: str
    work: str
    contender: str
    median: float
    fastest: float
    slowest: float
    ratio: float  # how many times faster than the plain PyTorch version, eager, in float32
    floor_share: float  # the memory floor's time over the median


def _forward(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Callable[[], object]:
    def run() -> Tensor:
        with torch.no_grad():
            return function(*inputs[:5])

    return run


def _both(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Callable[[], object]:
    value, shapes, starts, locations, weights, grad_output = inputs
    leaves = [t.detach().requires_grad_() for t in (value, locations, weights)]

    def run() -> tuple[Tensor, ...]:
        output = function(leaves[0], shapes, starts, leaves[1], leaves[2])
        return torch.autograd.grad(output, leaves, grad_output)

    return run


def _compared(module_name: str) -> Callable[..., Tensor]:
    """The published interface of another kernel as one differentiable function."""
    module = importlib.import_module(module_name)

    class Other(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value, shapes, starts, locations, weights):
            ctx.save_for_backward(value, shapes, starts, locations, weights)
            step = value.shape[0]
            return module.ms_deform_attn_forward(value, shapes, starts, locations, weights, step)

        @staticmethod
        def backward(ctx, grad_output):
            value, *others = ctx.saved_tensors
            gradients = module.ms_deform_attn_backward(
                value, *others, grad_output.contiguous(), value.shape[0]
            )
            return gradients[0], None, None, gradients[1], gradients[2]

    return Other.apply


def _contenders(
    setting: Setting, device: str, dtypes: list[str], compiled: bool
) -> dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]]:
    single = make_inputs(setting, torch.float32, device)
    found: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
        "plain": (ms_deform_attn_reference, single)
    }
    if compiled:
        found["plain compiled"] = (torch.compile(ms_deform_attn_reference), single)
    if COMPARE_VARIABLE in os.environ:
        name = os.environ[COMPARE_VARIABLE]
        found[name] = (_compared(name), single)
    for dtype in dtypes:
        found[f"pading_ops {dtype}"] = (
            ms_deform_attn,
            make_inputs(setting, DTYPES[dtype], device),
        )
    return found


def _milliseconds(run: Callable[[], object], device: str) -> float:
    if device == "cuda":
        # Many calls between two events: one would mostly measure the launch.
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(10):
            run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 10
    begin = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - begin)


def _floor(inputs: tuple[Tensor, ...], work: str, speed: float) -> float:
    """Milliseconds, at a speed in bytes per millisecond."""
    value, _, _, locations, weights, output = inputs
    read = value.nbytes + locations.nbytes + weights.nbytes
    total = read + output.nbytes
    if work == "forward + backward":
        # The backward pass reads the inputs and the output's gradient, and writes three gradients.
        total += read + output.nbytes + read
    return total / speed


def measure(
    device: str, settings: list[str], dtypes: list[str], repeats: int, compiled: bool
) -> list[Result]:
    """Time every contender on every setting, forward and with the backward pass.

    Args:
        device: "cpu" or "cuda".
        settings: keys of SETTINGS.
        dtypes: names of the types in which the op runs; the alternatives run in float32.
        repeats: how often each contender is timed; at least 1.
        compiled: whether the plain version is measured under torch.compile too.
    """
    source = torch.ones(32 << 20, dtype=torch.float32, device=device)  # more than caches hold
    target = torch.empty_like(source)
    results = []
    for name in settings:
        contenders = _contenders(SETTINGS[name], device, dtypes, compiled)
        for work, wrap in (("forward", _forward), ("forward + backward", _both)):
            runs = {key: wrap(*contender) for key, contender in contenders.items()}
            runs[_COPY] = lambda: target.copy_(source)
            for run in runs.values():
                run()  # caches, compilation, memory pools
            times: dict[str, list[float]] = {key: [] for key in runs}
            for _ in tqdm(range(repeats), desc=f"{name}, {work}", file=sys.stderr, leave=False):
                for key, run in runs.items():
                    times[key].append(_milliseconds(run, device))
            medians = {key: statistics.median(taken) for key, taken in times.items()}
            speed = 2 * source.nbytes / medians[_COPY]  # bytes read and bytes written
            del times[_COPY]
            for key, taken in times.items():
                floor = _floor(contenders[key][1], work, speed)
                ratio = medians["plain"] / medians[key]
                share = floor / medians[key]
                results.append(
                    Result(name, work, key, medians[key], min(taken), max(taken), ratio, share)
                )
    return results


def _describe(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads, {torch.ops.pading_ops.cpu_kernels()} kernels"


def main() -> None:
    """Read the command line, measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no CUDA device here")
    if options.repeats < 1:
        parser.error("--repeats: at least 1")
    results = measure(
        options.device,
        options.settings,
        options.dtypes,
        options.repeats,
        compiled=not options.no_compile,
    )
    peaks = measure_peaks(options.device, options.settings, options.dtypes)
    about = {"device": _describe(options.device), "torch": torch.__version__}
    if options.json:
        rows = {
            "results": [asdict(result) for result in results],
            "peak_memory": [asdict(peak) for peak in peaks],
        }
        print(json.dumps({**about, **rows}, indent=1))
        return
    print(f"{about['device']}, torch {about['torch']}; milliseconds: median (fastest to slowest)")
    for r in results:
        print(
            f"{r.setting:>5} {r.work:18} {r.contender:20} {r.median:9.3f} ({r.fastest:.3f} to "
            f"{r.slowest:.3f})  {r.ratio:6.1f} x plain, floor is {r.floor_share:5.1%} of it"
        )
    _print_peaks(peaks)


def _print_peaks(peaks: list[Peak]) -> None:
    print("peak memory of forward + backward, MB, against inputs, outputs and gradients")
    for peak in peaks:
        print(
            f"{peak.setting:>5} {peak.dtype:9} {peak.used / 1e6:9.1f} of {peak.tensors / 1e6:.1f}: "
            f"{peak.used / peak.tensors - 1:+.1%}"
        )


if __name__ == "__main__":
    main()
