"""Wrong arguments: the error names the argument and what was expected."""

import pytest
import torch
from pading_ops import ms_deform_attn

from tests.ops.op_inputs import Arguments, make_arguments

_NAMES = (
    "value",
    "spatial_shapes",
    "level_start_index",
    "sampling_locations",
    "attention_weights",
)


def _with(arguments: Arguments, **changes) -> Arguments:
    return tuple(
        changes[name](argument) if name in changes else argument
        for name, argument in zip(_NAMES, arguments, strict=True)
    )


@pytest.fixture
def arguments(rng: torch.Generator, device: str) -> Arguments:
    return make_arguments(
        rng, [(4, 3), (2, 1)], device=device
    )  # B 2, S 14, Q 5, M 3, D 8, L 2, P 2


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("value", lambda t: t[0], r"value: expected 4 dimensions \(B, S, M, D\)"),
        ("spatial_shapes", lambda t: t[:, :1], r"spatial_shapes: expected shape \(L, 2\)"),
        ("level_start_index", lambda t: t[:1], r"level_start_index: expected shape \(L,\) = \[2\]"),
        ("sampling_locations", lambda t: t[..., 0], "sampling_locations: expected 6 dimensions"),
        ("sampling_locations", lambda t: t[:1], r"sampling_locations: .*= \[2, 5, 3, 2, 2, 2\]"),
        (
            "sampling_locations",
            lambda t: t[:, :, :2],
            r"sampling_locations: .*\[2, 5, 3, 2, 2, 2\]",
        ),
        ("sampling_locations", lambda t: t[:, :, :, :1], "sampling_locations: .*got"),
        ("attention_weights", lambda t: t[..., 0], "attention_weights: expected shape"),
        ("attention_weights", lambda t: t[:, :4], r"attention_weights: .*= \[2, 5, 3, 2, 2\]"),
    ],
)
def test_shapes(arguments: Arguments, name: str, change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ms_deform_attn(*_with(arguments, **{name: change}))


@pytest.mark.parametrize(
    "name, dtype, message",
    [
        ("value", torch.int64, "value: expected float32, float64, float16 or bfloat16"),
        (
            "value",
            torch.float64,
            "sampling_locations: expected Double beside a value of type Double",
        ),
        ("spatial_shapes", torch.int32, "spatial_shapes: expected Long"),
        ("level_start_index", torch.float32, "level_start_index: expected Long"),
        ("sampling_locations", torch.float16, "sampling_locations: expected Float .*got Half"),
        ("attention_weights", torch.float64, "attention_weights: expected Float .*got Double"),
    ],
)
def test_types(arguments: Arguments, name: str, dtype: torch.dtype, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ms_deform_attn(*_with(arguments, **{name: lambda t: t.to(dtype)}))


@pytest.mark.parametrize(
    "shapes, starts, message",
    [
        ([[4, 3], [1, 1]], [0, 12], "spatial_shapes: .*sum to 13, expected .* 14"),
        ([[4, 3], [3, 1]], [0, 12], "spatial_shapes: .*sum to more than the 14"),
        ([[4, 3], [-1, -2]], [0, 12], "spatial_shapes: level 1 is -1 x -2"),
        ([[2**40, 2**40], [2, 1]], [0, 12], "spatial_shapes: level 0 is"),
        ([[4, 3], [2, 1]], [0, 11], "level_start_index: expected 12 for level 1"),
        ([[4, 3], [2, 1]], [-1, 12], "level_start_index: expected 0 for level 0"),
    ],
)
def test_levels_that_do_not_fill_value(
    rng: torch.Generator, shapes: list[list[int]], starts: list[int], message: str
) -> None:
    arguments = make_arguments(rng, [(4, 3), (2, 1)])
    wrong = (arguments[0], torch.tensor(shapes), torch.tensor(starts), *arguments[3:])
    with pytest.raises(ValueError, match=message):
        ms_deform_attn(*wrong)
    grad_output = torch.ones(2, 5, 24)
    with pytest.raises(ValueError, match=message):
        torch.ops.pading_ops.ms_deform_attn_backward(grad_output, *wrong)


def test_grad_output(arguments: Arguments) -> None:
    backward = torch.ops.pading_ops.ms_deform_attn_backward
    with pytest.raises(ValueError, match=r"grad_output: .*\(B, Q, M \* D\) = \[2, 5, 24\]"):
        backward(torch.ones(2, 5, 23).to(arguments[0]), *arguments)
    with pytest.raises(TypeError, match="grad_output: expected Float"):
        backward(torch.ones(2, 5, 24).to(arguments[0]).half(), *arguments)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", _NAMES[1:])
def test_devices(rng: torch.Generator, name: str) -> None:
    arguments = make_arguments(rng, [(4, 3), (2, 1)], device="cuda")
    with pytest.raises(ValueError, match=f"{name}: expected on cuda:0, where value is, got cpu"):
        ms_deform_attn(*_with(arguments, **{name: lambda t: t.cpu()}))
