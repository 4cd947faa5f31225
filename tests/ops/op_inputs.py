"""Random problems for the op, its oracle, and how their results are compared."""

import torch
from pading_ops import ms_deform_attn_reference
from torch import Tensor

Arguments = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]

# Largest error of a result relative to its largest entry.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 1e-2,
    torch.bfloat16: 1e-2,
}


def small_type(dtype: torch.dtype) -> torch.dtype:
    """The type of locations and weights beside a value of this type."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def make_arguments(
    rng: torch.Generator,
    shapes: list[tuple[int, int]],
    B: int = 2,
    Q: int = 5,
    M: int = 3,
    D: int = 8,
    P: int = 2,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Arguments:
    """Arguments with points inside, on the border, and one in ten far outside.

    Points keep away from the lines through pixel centres: the gradient jumps there, and rounding
    would decide its side.
    """
    spatial_shapes = torch.tensor(shapes, dtype=torch.int64).reshape(-1, 2)
    sizes = spatial_shapes.prod(1)
    level_start_index = sizes.cumsum(0) - sizes
    L = len(shapes)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=rng, dtype=torch.float64)

    extent = spatial_shapes.flip(-1)[:, None].double().clamp(min=1)  # (L, 1, 2) as (x, y)
    pixel = torch.floor(uniform(B, Q, M, L, P, 2) * (extent + 3)) - 2
    fraction = 0.02 + 0.96 * uniform(B, Q, M, L, P, 2)
    locations = (pixel + fraction + 0.5) / extent
    far = uniform(B, Q, M, L, P, 1) < 0.1
    locations = torch.where(far, 1000 * locations - 500, locations)
    value = torch.randn(B, int(sizes.sum()), M, D, generator=rng, dtype=torch.float64)
    weights = uniform(B, Q, M, L, P)
    small = small_type(dtype)
    return (
        value.to(device, dtype),
        spatial_shapes.to(device),
        level_start_index.to(device),
        locations.to(device, small),
        weights.to(device, small),
    )


def draw(rng: torch.Generator, dtype: torch.dtype, device: str = "cpu") -> Arguments:
    """Arguments of random sizes: odd D, one-pixel levels and single points among them."""

    def integer(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=rng))

    shapes = [(integer(1, 9), integer(1, 9)) for _ in range(integer(1, 4))]
    if integer(0, 2) == 0:
        shapes[integer(0, len(shapes) - 1)] = (1, 1)
    widths = [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 24, 31, 32, 33, 48, 64, 65, 128, 130]
    return make_arguments(
        rng,
        shapes,
        B=integer(1, 3),
        Q=integer(1, 12),
        M=integer(1, 4),
        D=widths[integer(0, len(widths) - 1)],
        P=integer(1, 5),
        dtype=dtype,
        device=device,
    )


def differentiable(arguments: Arguments) -> Arguments:
    """Fresh leaves that require gradients where they are floating."""
    value, shapes, starts, locations, weights = (a.detach().clone() for a in arguments)
    return (
        value.requires_grad_(),
        shapes,
        starts,
        locations.requires_grad_(),
        weights.requires_grad_(),
    )


def in_float64(arguments: Arguments) -> Arguments:
    """The same numbers for the oracle, on the CPU."""
    return tuple(a.double().cpu() if a.is_floating_point() else a.cpu() for a in arguments)


def results(function, arguments: Arguments, grad_output: Tensor) -> list[Tensor]:
    """Output and the gradients of value, locations and weights."""
    leaves = differentiable(arguments)
    output = function(*leaves)
    value, _, _, locations, weights = leaves
    return [output.detach(), *torch.autograd.grad(output, (value, locations, weights), grad_output)]


def assert_matches_oracle(function, arguments: Arguments, rng: torch.Generator) -> None:
    """Output and every gradient of function agree with the float64 oracle."""
    value, _, _, locations, _ = arguments
    B, Q = locations.shape[:2]
    grad_output = torch.randn(B, Q, value.shape[2] * value.shape[3], generator=rng)
    grad_output = grad_output.to(value)
    ours = results(function, arguments, grad_output)
    oracle = results(ms_deform_attn_reference, in_float64(arguments), grad_output.double().cpu())
    rounding = torch.finfo(locations.dtype).eps
    summed = summands(arguments, grad_output)
    for (name, terms), result, expected in zip(summed.items(), ours, oracle, strict=True):
        assert_close(name, result, expected, TOLERANCE[value.dtype], rounding * terms)


def summands(arguments: Arguments, grad_output: Tensor) -> dict[str, float]:
    """How large the terms may be of which each result is the sum.

    In a problem of one or two points all entries of a result may cancel; what is left is compared
    with the rounding of the terms.
    """
    value, shapes, _, locations, weights = in_float64(arguments)
    v, w = float(value.abs().max()), float(weights.abs().max())
    points = locations.shape[3] * locations.shape[4]
    heads = grad_output.double().cpu().unflatten(-1, value.shape[2:])
    g = float(heads.abs().sum(-1).max())
    return {
        "output": v * w * points,
        "grad_value": g * w,
        "grad_locations": v * g * w * float(shapes.max()),
        "grad_weights": v * g,
    }


def assert_close(
    name: str, result: Tensor, expected: Tensor, tolerance: float, rounding: float = 0.0
) -> None:
    """Entries differ by no more than tolerance times the largest expected one, and rounding."""
    assert result.shape == expected.shape, name
    if expected.numel() == 0:
        return
    error = (result.double().cpu() - expected).abs().max()
    scale = expected.abs().max()
    assert error <= tolerance * scale + rounding, f"{name}: error {error:.3g} at scale {scale:.3g}"
