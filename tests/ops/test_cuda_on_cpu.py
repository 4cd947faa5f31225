"""The CUDA kernels' own sources, run on the CPU: results, bounds, shuffles and barriers.

``cuda_on_cpu/`` stands in for CUDA. It cannot show what a GPU's memory model, its timing or the
PTX instruction do.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pading_ops import ms_deform_attn_reference
from torch import Tensor

from tests.ops.op_inputs import (
    TOLERANCE,
    Arguments,
    assert_close,
    draw,
    in_float64,
    make_arguments,
    results,
    small_type,
)

_HERE = Path(__file__).parent / "cuda_on_cpu"
_SOURCES = Path(__file__).parents[2] / "ops" / "csrc"
_NAMES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
_FLAGS = (
    *("-std=c++20", "-O1", "-D__CUDA_ARCH__=900", "-Wno-unknown-pragmas"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
# What g++ does not read, and what stands for it.
_REPLACED = (
    (
        r"(\w+_kernel<.*?>)<<<(.*), kThreads, shared, stream>>>\(a\);",
        r"cuda::launch(\2, kThreads, shared, [this] { \1(a); });",
    ),
    (r"extern __shared__ (\w+) (\w+)\[\];", r"auto* \2 = reinterpret_cast<\1*>(cuda::shared);"),
    (
        r'asm volatile\("red[^"]*add\.v4\.f32.*?"l"\((.*?)\),\s*"f"\((.*?)\), "f"\((.*?)\),'
        r'\s*"f"\((.*?)\),\s*"f"\((.*?)\)\s*: "memory"\);',
        r"cuda::add_four(\1, \2, \3, \4, \5);",
    ),
)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    probe = tmp_path_factory.mktemp("probe")
    (probe / "main.cpp").write_text("int main() { return int(_Float16(0)); }\n")
    for command in (["g++", *_FLAGS, probe / "main.cpp", "-o", probe / "run"], [probe / "run"]):
        if shutil.which(command[0]) is None or subprocess.run(command).returncode != 0:
            pytest.skip("no g++ here that knows _Float16 and the sanitizers")

    def build(fault: tuple[str, str] | None = None) -> Path:
        folder = tmp_path_factory.mktemp("kernels")
        shutil.copytree(_SOURCES, folder, dirs_exist_ok=True)
        program = [_HERE / "main.cpp"]
        for source in sorted(folder.glob("cuda/*.cu*")):
            text = source.read_text()
            for old, new in _REPLACED:
                text = re.sub(old, new, text, flags=re.DOTALL)
            if fault:
                text = text.replace(*fault)
            source.write_text(text)
            if source.suffix == ".cu":
                program.append(source.rename(source.with_suffix(".cpp")))
        command = ["g++", *_FLAGS, f"-I{folder}", f"-I{_HERE}", *program]
        subprocess.run([*command, "-o", folder / "run"], check=True)
        return folder / "run"

    return build


def _bytes(t: Tensor) -> bytes:
    return t.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def _run(program: Path, arguments: Arguments, grad_output: Tensor) -> list[Tensor]:
    value, shapes, starts, locations, weights = arguments
    B, S, M, D = value.shape
    _, Q, _, L, P, _ = locations.shape
    head = torch.tensor([_NAMES[value.dtype], B, S, M, D, Q, L, P])
    tensors = (head, shapes, starts, value, locations, weights, grad_output)
    request = b"".join(_bytes(t) for t in tensors)
    run = subprocess.run([program], input=request, capture_output=True)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.decode())
    found, rest = [], bytearray(run.stdout)
    small = small_type(value.dtype)
    shapes_of = (grad_output.shape, value.shape, locations.shape, weights.shape)
    for shape, dtype in zip(shapes_of, (value.dtype, small, small, small), strict=True):
        size = shape.numel() * dtype.itemsize
        found.append(torch.frombuffer(rest[:size], dtype=dtype).view(shape))
        rest = rest[size:]
    return found


def _check(program: Path, arguments: Arguments, rng: torch.Generator) -> None:
    value, locations = arguments[0], arguments[3]
    shape = (*locations.shape[:2], value.shape[2] * value.shape[3])
    grad_output = torch.randn(shape, generator=rng).to(value)
    oracle = results(ms_deform_attn_reference, in_float64(arguments), grad_output.double())
    ours = _run(program, arguments, grad_output)
    names = ("output", "grad_value", "grad_locations", "grad_weights")
    for name, result, expected in zip(names, ours, oracle, strict=True):
        assert_close(name, result, expected, TOLERANCE[value.dtype])


@pytest.mark.slow
def test_random_shapes(build: Callable[..., Path], rng: torch.Generator) -> None:
    program = build()
    for dtype in TOLERANCE:
        for _ in range(8):
            _check(program, draw(rng, dtype), rng)


@pytest.mark.slow
def test_a_fault_is_found(build: Callable[..., Path], rng: torch.Generator) -> None:
    """The check itself: a kernel whose spare threads leave before the shuffles does not pass."""
    program = build(fault=("const int64_t unit = ", "if (!exists) return; const int64_t unit = "))
    arguments = make_arguments(rng, [(4, 3), (2, 1)], B=1, Q=5, M=3, D=5)
    with pytest.raises(RuntimeError, match="a lane does not come"):
        _check(program, arguments, rng)
