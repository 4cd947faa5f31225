"""The compiled op against the plain PyTorch version in float64, and finite differences."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pading_ops import ms_deform_attn, ms_deform_attn_reference

from tests.ops.op_inputs import (
    TOLERANCE,
    assert_close,
    assert_matches_oracle,
    differentiable,
    draw,
    in_float64,
    make_arguments,
    results,
)

DTYPES = list(TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_random_shapes(rng: torch.Generator, device: str, dtype: torch.dtype) -> None:
    for _ in range(1000):
        assert_matches_oracle(ms_deform_attn, draw(rng, dtype, device), rng)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_shapes_of_a_pixel_decoder(
    rng: torch.Generator, device: str, dtype: torch.dtype
) -> None:
    shapes = [(16, 24), (8, 12), (4, 6)]
    arguments = make_arguments(rng, shapes, Q=504, M=8, D=32, P=4, dtype=dtype, device=device)
    assert_matches_oracle(ms_deform_attn, arguments, rng)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_head_too_large_for_its_scratch(rng: torch.Generator, dtype: torch.dtype) -> None:
    """On the CPU half types then take a head's channels in several passes."""
    shapes = [(48, 48), (5, 6)]
    arguments = make_arguments(rng, shapes, Q=40, M=2, D=32, P=4, dtype=dtype)
    assert_matches_oracle(ms_deform_attn, arguments, rng)


def test_points_on_pixel_centres_and_borders(rng: torch.Generator, device: str) -> None:
    arguments = make_arguments(rng, [(3, 4)], Q=1, P=63, dtype=torch.float64, device=device)
    x = (torch.arange(-2, 7) + 0.5) / 4
    y = (torch.arange(-2, 5) + 0.5) / 3
    grid = torch.cartesian_prod(x, y).to(arguments[3])
    arguments = (*arguments[:3], grid.expand_as(arguments[3]).contiguous(), arguments[4])
    expected = ms_deform_attn_reference(*in_float64(arguments))
    assert_close("output", ms_deform_attn(*arguments), expected, 1e-12)


def test_gradients_by_finite_differences(rng: torch.Generator, device: str) -> None:
    shapes = [(4, 3), (1, 1), (2, 5)]
    arguments = make_arguments(rng, shapes, Q=3, M=2, D=5, dtype=torch.float64, device=device)
    # Far points would lose their digits in the differences, and have no gradient.
    locations = arguments[3].clamp(-2, 3)
    arguments = differentiable((*arguments[:3], locations, arguments[4]))
    # On CUDA the order of the additions changes from run to run.
    tolerance = 1e-10 if device == "cuda" else 0.0
    assert torch.autograd.gradcheck(ms_deform_attn, arguments, nondet_tol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_points_nowhere_contribute_nothing(
    rng: torch.Generator, device: str, dtype: torch.dtype
) -> None:
    arguments = make_arguments(rng, [(5, 6), (3, 2)], P=4, dtype=dtype, device=device)
    locations = arguments[3]
    locations[..., 0, 0] = float("nan")
    locations[..., 1, 1] = float("inf")
    locations[..., 2, :] = float("-inf")
    assert_matches_oracle(ms_deform_attn, arguments, rng)
    ours = results(ms_deform_attn, arguments, torch.ones(2, 5, 24).to(arguments[0]))
    for gradient in ours[2:]:
        assert (gradient[:, :, :, :, :3] == 0).all()
        assert (gradient[:, :, :, :, 3] != 0).any()


def test_points_outside_read_nothing(rng: torch.Generator, device: str) -> None:
    arguments = make_arguments(rng, [(5, 6)], device=device)
    arguments[0].fill_(float("nan"))
    arguments[3].fill_(2.0)
    output, *gradients = results(ms_deform_attn, arguments, torch.ones(2, 5, 24).to(arguments[0]))
    assert (output == 0).all()
    assert all((gradient == 0).all() for gradient in gradients)


def test_cpu_is_deterministic(rng: torch.Generator) -> None:
    shapes = [(12, 17), (6, 8)]
    arguments = make_arguments(rng, shapes, Q=300, M=4, D=16, P=4)
    grad_output = torch.randn(2, 300, 64, generator=rng)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = results(ms_deform_attn, arguments, grad_output)
        torch.set_num_threads(3)
        with_company = [results(ms_deform_attn, arguments, grad_output) for _ in range(3)]
    finally:
        torch.set_num_threads(threads)
    for other in with_company:
        assert all(torch.equal(a, b) for a, b in zip(alone, other, strict=True))


_ELSEWHERE = """
import sys
import torch
from tests.ops.op_inputs import TOLERANCE, assert_matches_oracle, draw
from pading_ops import ms_deform_attn
rng = torch.Generator().manual_seed(int(sys.argv[1]))
for dtype in TOLERANCE:
    for _ in range(40):
        assert_matches_oracle(ms_deform_attn, draw(rng, dtype), rng)
print(torch.ops.pading_ops.cpu_kernels())
"""


@pytest.mark.parametrize("capability, kernels", [("default", "portable"), ("avx2", "avx2")])
def test_lesser_instruction_sets(seed: int, capability: str, kernels: str) -> None:
    """The variable that holds PyTorch's own kernels back chooses ours too."""
    best = torch.ops.pading_ops.cpu_kernels()
    if best == "portable" and kernels != "portable":
        pytest.skip(f"this processor cannot run {kernels}")
    command = [sys.executable, "-c", _ELSEWHERE, str(seed)]
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
    root = Path(__file__).resolve().parents[2]  # from where `tests` can be imported
    run = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == kernels
