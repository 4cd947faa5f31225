#!/usr/bin/env python3
"""Time the products of a segmenter (R-50, 512 x 512) in float32, bfloat16 and int8 on this CPU.

    OMP_NUM_THREADS=1 python -m research.int8_products

Each is what oneDNN makes of it through PyTorch, with weights packed beforehand and a ReLU behind:
for int8 from unsigned 8-bit numbers to unsigned 8-bit numbers, and from float32 ("with casts"),
which is what a product beside layer norms and sums in float32 takes. One thread; the processor's
time; the best of several, in turns.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from pading.layers.eight_bits import (
    Geometry,
    Range,
    convolve,
    multiply,
    pack_convolution,
    pack_linear,
)

# Input channels, output channels, side of the kernel, stride, side of the map, how many of them.
_CONVOLUTIONS = (
    ("stem", 3, 64, 7, 2, 512, 1),
    ("res2 1 x 1", 64, 256, 1, 1, 128, 3),
    ("res2 3 x 3", 64, 64, 3, 1, 128, 3),
    ("res3 3 x 3", 128, 128, 3, 1, 64, 4),
    ("res4 1 x 1", 1024, 256, 1, 1, 32, 6),
    ("res4 3 x 3", 256, 256, 3, 1, 32, 6),
    ("res5 3 x 3", 512, 512, 3, 1, 16, 3),
    ("FPN 1 x 1", 256, 256, 1, 1, 128, 2),
    ("FPN 3 x 3", 256, 256, 3, 1, 128, 1),
)
# Inputs, outputs, tokens, how many of them.
_LINEARS = (
    ("feed-forward 1", 256, 1024, 5376, 6),
    ("feed-forward 2", 1024, 256, 5376, 6),
    ("projection", 256, 256, 5376, 12),
)
_REPEATS = 8
_GIVEN = Range(0.0, 1.0)
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Products = dict[str, Callable[[], Tensor]]


def convolution(inputs: int, outputs: int, side: int, stride: int, size: int) -> Products:
    """A convolution in every way, by name."""
    geometry: Geometry = [side // 2] * 2, [stride] * 2, [1, 1], 1
    last = torch.channels_last
    x = torch.rand(1, inputs, size, size).contiguous(memory_format=last)
    weight = torch.randn(outputs, inputs, side, side)
    ways: Products = {}
    for name, dtype in _TYPES.items():
        given = x.to(dtype)
        packed = torch.ops.mkldnn._reorder_convolution_weight(
            weight.to(dtype), *geometry, list(x.shape)
        )
        ways[name] = lambda x=given, w=packed: torch.ops.mkldnn._convolution_pointwise(
            x, w, None, *geometry, "relu", [], ""
        )
    weights = pack_convolution(weight, None, _GIVEN, geometry, x.shape)
    return ways | _int8(x, lambda codes, to: convolve(codes, _GIVEN, weights, geometry, to, "relu"))


def linear(inputs: int, outputs: int, tokens: int) -> Products:
    """A linear layer in every way, by name."""
    x, weight, bias = torch.rand(1, tokens, inputs), torch.randn(outputs, inputs), None
    ways: Products = {}
    for name, dtype in _TYPES.items():
        given = x.to(dtype)
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype), None)
        ways[name] = lambda x=given, w=packed: torch.ops.mkldnn._linear_pointwise(
            x, w, bias, "relu", [], ""
        )
    weights = pack_linear(weight, None, tokens)
    return ways | _int8(x[0], lambda codes, to: multiply(codes, _GIVEN, weights, to, "relu"))


def _int8(x: Tensor, product: Callable[[Tensor, Range | torch.dtype], Tensor]) -> Products:
    codes = _GIVEN.codes(x)
    return {
        "int8": lambda: product(codes, _GIVEN),
        "int8 with casts": lambda: product(_GIVEN.codes(x), torch.float32),
    }


def main() -> None:
    torch.manual_seed(0)
    parts = [
        (*c[:2], convolution(*c[1:6]), c[1] * c[2] * c[3] ** 2 * (c[5] // c[4]) ** 2, c[6])
        for c in _CONVOLUTIONS
    ]
    parts += [(*c[:2], linear(*c[1:4]), c[1] * c[2] * c[3], c[4]) for c in _LINEARS]
    totals: dict[str, float] = {}
    print(f"{'':16}" + "".join(f"{name:>22}" for name in parts[0][2]))
    with torch.inference_mode():
        for name, _, ways, products, number in parts:
            best = dict.fromkeys(ways, float("inf"))
            for _ in range(_REPEATS):
                for way, run in ways.items():
                    begin = time.thread_time()
                    run()
                    best[way] = min(best[way], time.thread_time() - begin)
            cells = (f"{1e3 * t:9.2f} ms {2e-9 * products / t:5.0f} G/s" for t in best.values())
            print(f"{name:16}" + "".join(f"{cell:>22}" for cell in cells))
            for way, taken in best.items():
                totals[way] = totals.get(way, 0.0) + number * taken
    print(f"{'all of them':16}" + "".join(f"{1e3 * t:>19.1f} ms" for t in totals.values()))


if __name__ == "__main__":
    main()
