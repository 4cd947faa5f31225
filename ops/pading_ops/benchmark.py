"""Times the op against its alternatives: ``python -m pading_ops.benchmark [--device cuda]``.

Shapes of reference: the pixel decoder's levels at strides 8, 16 and 32 of a 1024 x 1024 or
512 x 512 image, 8 heads of 32 channels, 4 points a level, drawn within a few pixels of the query's
own place as a trained encoder does; and the small model of ``make demo``.

Within one run every contender is timed in turn, over and over, so that a busy machine disturbs all
of them alike. Ratios are of medians, to the plain PyTorch version in float32. The floor is the time
that the inputs, outputs and gradients take to pass through memory once, at the speed of a large
copy measured in the same run.

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

COMPARE_VARIABLE = "PADING_OPS_COMPARE"
_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class Setting:
    """One shape of reference: the sides of the square levels, batch, heads, channels, points."""

    sides: tuple[int, ...]
    B: int
    M: int
    D: int
    P: int = 4


SETTINGS = {
    "1024": Setting((128, 64, 32), B=1, M=8, D=32),
    "512": Setting((64, 32, 16), B=1, M=8, D=32),
    "demo": Setting((16, 8, 4), B=8, M=8, D=8),
}


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


def make_inputs(setting: Setting, dtype: torch.dtype, device: str) -> tuple[Tensor, ...]:
    """Arguments of the op and, last, a gradient of its output."""
    generator = torch.Generator().manual_seed(0)
    shapes = torch.tensor([(side, side) for side in setting.sides])
    sizes = shapes.prod(1)
    centres = [
        torch.cartesian_prod((torch.arange(side) + 0.5) / side, (torch.arange(side) + 0.5) / side)
        for side in setting.sides
    ]
    own = torch.cat(centres).flip(-1)[None, :, None, None, None]
    B, M, D, P = setting.B, setting.M, setting.D, setting.P
    S, L = int(sizes.sum()), len(sizes)
    offsets = 2 * torch.randn(B, S, M, L, P, 2, generator=generator)
    locations = own + offsets / shapes.flip(-1)[:, None]
    weights = torch.rand(B, S, M, L * P, generator=generator).softmax(-1).view(B, S, M, L, P)
    small = torch.float64 if dtype == torch.float64 else torch.float32
    value = torch.randn(B, S, M, D, generator=generator)
    grad_output = torch.randn(B, S, M * D, generator=generator)
    return (
        value.to(device, dtype),
        shapes.to(device),
        (sizes.cumsum(0) - sizes).to(device),
        locations.to(device, small),
        weights.to(device, small),
        grad_output.to(device, dtype),
    )


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
            make_inputs(setting, _DTYPES[dtype], device),
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


def _bytes_per_millisecond(device: str) -> float:
    """Speed of a copy that no cache holds: bytes read plus bytes written."""
    source = torch.ones(64 << 20, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    times = [_milliseconds(lambda: target.copy_(source), device) for _ in range(5)]
    return 2 * source.nbytes / min(times)


def _floor(inputs: tuple[Tensor, ...], work: str, speed: float) -> float:
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
    speed = _bytes_per_millisecond(device)
    results = []
    for name in settings:
        contenders = _contenders(SETTINGS[name], device, dtypes, compiled)
        for work, wrap in (("forward", _forward), ("forward + backward", _both)):
            runs = {key: wrap(*contender) for key, contender in contenders.items()}
            for run in runs.values():
                run()  # caches, compilation, memory pools
            times: dict[str, list[float]] = {key: [] for key in runs}
            for _ in tqdm(range(repeats), desc=f"{name}, {work}", file=sys.stderr, leave=False):
                for key, run in runs.items():
                    times[key].append(_milliseconds(run, device))
            medians = {key: statistics.median(taken) for key, taken in times.items()}
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
    parser.add_argument("--dtypes", nargs="+", choices=_DTYPES, default=list(_DTYPES))
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
    about = {"device": _describe(options.device), "torch": torch.__version__}
    if options.json:
        print(json.dumps({**about, "results": [asdict(result) for result in results]}, indent=1))
        return
    print(f"{about['device']}, torch {about['torch']}; milliseconds: median (fastest to slowest)")
    for r in results:
        print(
            f"{r.setting:>5} {r.work:18} {r.contender:20} {r.median:9.3f} ({r.fastest:.3f} to "
            f"{r.slowest:.3f})  {r.ratio:6.1f} x plain, floor is {r.floor_share:5.1%} of it"
        )


if __name__ == "__main__":
    main()
