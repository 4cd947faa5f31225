"""The op in forward mode and under torch.func: right against the float64 oracle, or refused."""

from collections.abc import Callable

import pytest
import torch
from pading_ops import ms_deform_attn, ms_deform_attn_reference
from torch import Tensor, func
from torch.autograd import forward_ad

from tests.ops.op_inputs import TOLERANCE, Arguments, assert_close, in_float64, make_arguments

Floats = tuple[Tensor, Tensor, Tensor]


@pytest.fixture
def arguments(rng: torch.Generator, device: str) -> Arguments:
    return make_arguments(rng, [(4, 3), (2, 1)], B=2, Q=2, M=2, D=3, device=device)


def _floats(arguments: Arguments) -> Floats:
    return arguments[0], arguments[3], arguments[4]


def _function(arguments: Arguments, op: Callable[..., Tensor] = ms_deform_attn):
    """The op of value, locations and weights alone."""
    return lambda value, x, weights: op(value, *arguments[1:3], x, weights)


def _tangents(arguments: Arguments, rng: torch.Generator) -> Floats:
    return tuple(torch.randn(t.shape, generator=rng).to(t) for t in _floats(arguments))


def _expected_tangent(arguments: Arguments, tangents: Floats) -> Tensor:
    """By the oracle's Jacobians, which its backward pass gives."""
    exact = in_float64(arguments)
    oracle = _function(exact, ms_deform_attn_reference)
    jacobians = torch.autograd.functional.jacobian(oracle, _floats(exact))
    return sum(
        torch.tensordot(jacobian, tangent.double().cpu(), tangent.ndim)
        for jacobian, tangent in zip(jacobians, tangents, strict=True)
    )


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_jvp(rng: torch.Generator, device: str, dtype: torch.dtype) -> None:
    arguments = make_arguments(rng, [(4, 3), (2, 1)], Q=2, M=2, D=3, dtype=dtype, device=device)
    tangents = _tangents(arguments, rng)
    output, tangent = func.jvp(_function(arguments), _floats(arguments), tangents)
    assert torch.equal(output, ms_deform_attn(*arguments))
    assert tangent.dtype == dtype
    expected = _expected_tangent(arguments, tangents)
    assert_close("tangent", tangent, expected, 2 * TOLERANCE[dtype])  # a sum of two of the op's


@pytest.mark.parametrize("place", range(3), ids=["value", "locations", "weights"])
def test_a_tangent_of_one_input(arguments: Arguments, rng: torch.Generator, place: int) -> None:
    tangents = _tangents(arguments, rng)
    alone = tuple(t if i == place else torch.zeros_like(t) for i, t in enumerate(tangents))
    with forward_ad.dual_level():
        inputs = list(_floats(arguments))
        inputs[place] = forward_ad.make_dual(inputs[place], tangents[place])
        tangent = forward_ad.unpack_dual(_function(arguments)(*inputs)).tangent
    assert_close("tangent", tangent, _expected_tangent(arguments, alone), 2e-5)


def test_jacfwd(rng: torch.Generator, device: str) -> None:
    """vmap over jvp."""
    arguments = make_arguments(
        rng, [(2, 3)], B=1, Q=2, M=2, D=2, dtype=torch.float64, device=device
    )
    forward = func.jacfwd(_function(arguments), argnums=(0, 1, 2))(*_floats(arguments))
    reverse = func.jacrev(_function(arguments), argnums=(0, 1, 2))(*_floats(arguments))
    exact = in_float64(arguments)
    oracle = _function(exact, ms_deform_attn_reference)
    expected = torch.autograd.functional.jacobian(oracle, _floats(exact))
    for ours in (forward, reverse):
        for jacobian, theirs in zip(ours, expected, strict=True):
            assert_close("jacobian", jacobian, theirs, 1e-12)


@pytest.mark.parametrize("low", [None, torch.bfloat16], ids=str)
def test_grad(arguments: Arguments, low: torch.dtype | None) -> None:
    def loss(function):
        return lambda *floats: function(*floats).double().square().sum()

    with torch.autocast(arguments[0].device.type, dtype=low, enabled=low is not None):
        ours = func.grad(loss(_function(arguments)), argnums=(0, 1, 2))(*_floats(arguments))
    exact = in_float64(arguments)
    oracle = loss(_function(exact, ms_deform_attn_reference))
    expected = func.grad(oracle, argnums=(0, 1, 2))(*_floats(exact))
    for gradient, theirs, leaf in zip(ours, expected, _floats(arguments), strict=True):
        assert gradient.dtype == leaf.dtype
        assert_close("gradient", gradient, theirs, 5e-2 if low else 1e-5)


@pytest.mark.parametrize("in_dims", [(0, 0, 0), (1, None, 2), (None, 3, None)], ids=str)
def test_vmap(arguments: Arguments, rng: torch.Generator, in_dims: tuple[int | None, ...]) -> None:
    """As one call for each entry: output, and per-sample gradients."""
    batched = tuple(
        t if dim is None else torch.stack([t, t.flip(0), 2 * t], dim)
        for t, dim in zip(_floats(arguments), in_dims, strict=True)
    )
    function = _function(arguments)

    def gradients(*floats: Tensor) -> tuple[Tensor, ...]:
        return func.grad(lambda *x: function(*x).square().sum(), argnums=(0, 1, 2))(*floats)

    ours = func.vmap(function, in_dims)(*batched), *func.vmap(gradients, in_dims)(*batched)
    singles = []
    for n in range(3):
        floats = [
            t if dim is None else t.select(dim, n) for t, dim in zip(batched, in_dims, strict=True)
        ]
        singles.append((function(*floats), *gradients(*floats)))
    for results, expected in zip(ours, zip(*singles, strict=True), strict=True):
        torch.testing.assert_close(results, torch.stack(expected))


def test_levels_are_no_batch(arguments: Arguments) -> None:
    value, shapes, starts, x, weights = arguments
    with pytest.raises(ValueError, match="spatial_shapes and level_start_index are those of the"):
        func.vmap(ms_deform_attn, (None, 0, None, None, None))(
            value, torch.stack([shapes, shapes]), starts, x, weights
        )


@pytest.mark.parametrize("outer", ["grad", "jvp"])
def test_derivatives_of_the_tangent(rng: torch.Generator, device: str, outer: str) -> None:
    """Against differences of tangents."""
    arguments = make_arguments(rng, [(4, 3)], Q=2, M=2, D=3, dtype=torch.float64, device=device)
    inputs, tangents, step = _floats(arguments), *(_tangents(arguments, rng) for _ in range(2))

    def loss(*floats: Tensor) -> Tensor:
        return func.jvp(_function(arguments), floats, tangents)[1].square().sum()

    ahead, behind = (
        loss(*(t + sign * 1e-7 * s for t, s in zip(inputs, step, strict=True))) for sign in (1, -1)
    )
    if outer == "jvp":
        slope = func.jvp(loss, inputs, step)[1]
    else:
        gradients = func.grad(loss, argnums=(0, 1, 2))(*inputs)
        slope = sum((g * s).sum() for g, s in zip(gradients, step, strict=True))
    torch.testing.assert_close(slope, (ahead - behind) / 2e-7, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("outer", [func.grad, func.jacfwd], ids=["grad", "jacfwd"])
def test_derivatives_of_the_gradient_are_refused(arguments: Arguments, outer) -> None:
    def loss(value: Tensor) -> Tensor:
        return ms_deform_attn(value, *arguments[1:]).square().sum()

    with pytest.raises(RuntimeError, match="no second derivative"):
        outer(lambda value: func.grad(loss)(value).square().sum())(arguments[0])


def test_transforms_inside_compiled_code(arguments: Arguments, rng: torch.Generator) -> None:
    """The compiler leaves them to PyTorch itself."""
    tangents = _tangents(arguments, rng)

    def tangent() -> Tensor:
        return func.jvp(_function(arguments), _floats(arguments), tangents)[1]

    assert torch.equal(torch.compile(tangent, backend="eager")(), tangent())
