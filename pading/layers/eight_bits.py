"""Products of 8-bit integers on a CPU, which has twice as many of them as of bfloat16 in a second.

Numbers are kept as codes, unsigned 8-bit integers that divide a range evenly; weights are signed,
with a scale for each output. Ranges are measured on images beforehand (``pading quantize``), by
:func:`watched`, and lent to the layers while a model predicts, by :func:`eight_bits`. What has no
range is computed in bfloat16, or in float32 where the processor has no bfloat16.

The products are oneDNN's, as PyTorch's own quantisation calls them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pading.errors import InputError

_LEAST = 1e-6
"""Width of a range, which must not be 0."""
_BEYOND = 1e-3
"""The share of an image's numbers that a range may leave out at either end. A few are so far out
that codes for them, too, would be coarse for all others: docs/performance.md."""


class Range(NamedTuple):
    """What the codes 0 to 255 stand for: numbers from ``low`` to ``high``, 0 among them."""

    low: float
    high: float

    @property
    def scale(self) -> float:
        """The distance between two codes."""
        return max(self.high - self.low, _LEAST) / 255

    @property
    def zero(self) -> int:
        """The code of 0, which padding has, too."""
        return round(-self.low / self.scale)

    def codes(self, x: Tensor) -> Tensor:
        """Numbers to codes of the same layout; what lies outside takes the nearest."""
        kept = torch.quantize_per_tensor(x.float(), self.scale, self.zero, torch.quint8)
        # Its own storage: ``int_repr`` would copy it.
        return torch.empty(0, dtype=torch.uint8).set_(
            kept.untyped_storage(), 0, kept.shape, kept.stride()
        )

    def numbers(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        """Codes to numbers."""
        return codes.to(dtype).sub_(self.zero).mul_(self.scale)


Ranges = Mapping[nn.Module, Range]
_RANGES: ContextVar[Ranges | None] = ContextVar("ranges of modules", default=None)


def known_range(module: nn.Module | None) -> Range | None:
    """What has been lent to a module: of its input, or of what else it says."""
    ranges = _RANGES.get()
    return None if ranges is None or module is None else ranges.get(module)


@contextmanager
def eight_bits(network: nn.Module, ranges: Mapping[str, Range]) -> Iterator[None]:
    """Compute in 8 bits what has a range, and the rest in the fastest type.

    Args:
        network: whose layers they are.
        ranges: by names of modules.

    Raises:
        InputError: the ranges are another network's.
    """
    modules = dict(network.named_modules())
    for name in ranges:
        if name not in modules:
            raise InputError(
                f"MODEL.INFERENCE.INT8_RANGES: this network has no {name!r}; measure them again "
                "with `pading quantize`"
            )
    token = _RANGES.set({modules[name]: found for name, found in ranges.items()})
    faster = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    try:
        with torch.autocast("cpu", torch.bfloat16, enabled=faster):
            yield
    finally:
        _RANGES.reset(token)


def check_eight_bits(device: str, ranges: Sequence[Any]) -> None:
    """Refuse what cannot be computed in 8 bits here.

    Raises:
        InputError: another device than a CPU with instructions for it, or no ranges.
    """
    if not ranges:
        raise InputError(
            "MODEL.INFERENCE.DTYPE int8: the ranges of this model's layers have not been measured; "
            "`pading quantize` does it, on images"
        )
    if device != "cpu" or not torch.cpu._is_vnni_supported():
        raise InputError(
            "MODEL.INFERENCE.DTYPE int8: it takes a CPU with 8-bit instructions (AVX-512 VNNI), "
            "and MODEL.DEVICE cpu; use float32 or bfloat16"
        )


class Weights8(NamedTuple):
    """Weights as signed 8-bit integers, as oneDNN reads them."""

    packed: Tensor
    scales: Tensor
    zeros: Tensor
    bias: Tensor | None


def _whole(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Signed 8-bit integers with a scale for each output; scales; zero points."""
    scales = weight.flatten(1).abs().amax(1).clamp_min(_LEAST).float() / 127
    shape = (-1, *([1] * (weight.dim() - 1)))
    whole = (weight / scales.view(shape)).round().clamp(-127, 127).to(torch.int8)
    return whole, scales, torch.zeros(len(scales), dtype=torch.int32)


Geometry = tuple[list[int], list[int], list[int], int]
"""Of a convolution: padding, stride, dilation, groups."""


def pack_convolution(
    weight: Tensor, bias: Tensor | None, given: Range, geometry: Geometry, shape: Sequence[int]
) -> Weights8:
    """A convolution's weights for inputs of a range and a shape (B, C, h, w)."""
    whole, scales, zeros = _whole(weight)
    padding, stride, dilation, groups = geometry
    packed = torch.ops.onednn.qconv_prepack(
        whole, scales, given.scale, given.zero, stride, padding, dilation, groups, list(shape)
    )
    return Weights8(packed, scales, zeros, None if bias is None else bias.float())


def convolve(
    codes: Tensor,
    given: Range,
    weights: Weights8,
    geometry: Geometry,
    to: Range | torch.dtype,
    after: str = "none",
) -> Tensor:
    """Codes (B, C, h, w) to codes of a range, or to numbers of a type."""
    padding, stride, dilation, groups = geometry
    packed, scales, zeros, bias = weights
    return torch.ops.onednn.qconv2d_pointwise(
        codes, given.scale, given.zero, packed, scales, zeros, bias,
        stride, padding, dilation, groups, *_target(to), after, [], "",
    )  # fmt: skip


def convolve_onto(
    total: Tensor,
    had: Range,
    codes: Tensor,
    given: Range,
    weights: Weights8,
    geometry: Geometry,
    to: Range,
) -> Tensor:
    """relu(total + convolution) in the place of ``total``, codes of the range ``had``."""
    padding, stride, dilation, groups = geometry
    packed, scales, zeros, bias = weights
    return torch.ops.onednn.qconv2d_pointwise.binary(
        codes, given.scale, given.zero, packed, scales, zeros, total, bias,
        stride, padding, dilation, groups, *_target(to), had.scale, had.zero,
        "sum", 1.0, "relu", [], "",
    )  # fmt: skip


def pack_linear(weight: Tensor, bias: Tensor | None, rows: int) -> Weights8:
    """A linear layer's weights for so many rows of inputs."""
    whole, scales, zeros = _whole(weight)
    packed = torch.ops.onednn.qlinear_prepack(whole, [rows, weight.shape[1]])
    return Weights8(packed, scales, zeros, None if bias is None else bias.float())


def multiply(
    codes: Tensor, given: Range, weights: Weights8, to: Range | torch.dtype, after: str = "none"
) -> Tensor:
    """Codes (N, inputs) to codes of a range, or numbers of a type (N, outputs)."""
    packed, scales, zeros, bias = weights
    return torch.ops.onednn.qlinear_pointwise(
        codes, given.scale, given.zero, packed, scales, zeros, bias, *_target(to), after, [], ""
    )


def _target(to: Range | torch.dtype) -> tuple[float, int, torch.dtype]:
    if isinstance(to, Range):
        return to.scale, to.zero, torch.uint8
    return 1.0, 0, to


@contextmanager
def watched(inputs: Mapping[str, nn.Module], outputs: Mapping[str, nn.Module]) -> Iterator[dict]:
    """Watch what goes into modules, and what comes out of others.

    Args:
        inputs, outputs: by names of modules.

    Yields:
        by name a list of a :class:`Range` for each call, of all but the outermost numbers.
    """
    found: dict[str, list[Range]] = {name: [] for name in (*inputs, *outputs)}

    def note(name: str, x: Tensor) -> None:
        numbers = x.detach().float().flatten()
        place = max(1, round(_BEYOND * numbers.numel()))
        low, high = (numbers.topk(place, largest=up).values[-1].item() for up in (False, True))
        found[name].append(Range(min(0.0, low), max(0.0, high)))

    handles = []
    for name, module in inputs.items():
        handles.append(
            module.register_forward_pre_hook(lambda _, given, name=name: note(name, given[0]))
        )
    for name, module in outputs.items():
        handles.append(
            module.register_forward_hook(lambda _, given, made, name=name: note(name, made))
        )
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
