"""Convolutions whose weights a CPU keeps as oneDNN reads them, and when that is called for.

Outside training weights do not change, yet PyTorch rearranges those of a convolution each time, and
casts them each time under autocast; linear layers go to a library that knows some processors less
well. Here both happen once, and what follows a product (a ReLU, a sum) is done while its numbers
are at hand. Where a gradient is wanted, elsewhere than on a CPU, and in exported graphs, the
layers are PyTorch's own. Parameters have the same names and values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from detectron2.modeling.backbone.resnet import BottleneckBlock, ResNet
from torch import Tensor, nn

from pading.layers.eight_bits import (
    Geometry,
    Range,
    Weights8,
    convolve,
    convolve_onto,
    known_range,
    pack_convolution,
)
from pading.layers.kept import Kept

_OWN: ContextVar[bool] = ContextVar("PyTorch's own layers", default=False)


@contextmanager
def pytorchs_own_layers() -> Iterator[None]:
    """Compute as training does, bit by bit: packed weights round otherwise."""
    token = _OWN.set(True)
    try:
        yield
    finally:
        _OWN.reset(token)


def packed_dtype(x: Tensor) -> torch.dtype | None:
    """The type to compute in with packed weights; None: PyTorch's own layers are called for."""
    if torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return None  # first: a compiler cannot follow what comes next
    if (
        x.device.type != "cpu"
        or torch.is_grad_enabled()
        or _OWN.get()
        or not torch.backends.mkldnn.is_available()
        or not x.numel()
    ):
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if dtype == torch.bfloat16:
        return dtype if torch.ops.mkldnn._is_mkldnn_bf16_supported() else None
    return dtype if dtype == torch.float32 else None


class PackedConv2d(Conv2d):
    """Detectron2's convolution, with a frozen batch norm folded into its weights.

    Weights are kept for the last size of images; another one takes some tens of milliseconds.
    """

    _packed: Kept

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h', w')."""
        dtype = packed_dtype(x)
        if dtype is None or self.weight.is_inference() or isinstance(self.padding, str):
            return super().forward(x)
        given = known_range(self)
        if given is None:
            y = self._product(x, dtype, "none")
        else:
            codes = given.codes(channels_last(x, x.dtype))
            y = self.of_codes(codes, given, dtype)
        if self.norm is not None and not self.folds:
            y = self.norm(y)
        return y if self.activation is None else self.activation(y)

    def relu_of(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """relu(convolution of x) in a type, where it folds."""
        return self._product(x, dtype, "relu")

    def onto(self, total: Tensor, x: Tensor) -> Tensor:
        """relu(total + convolution of x), in the place of ``total``, whose type both have."""
        return torch.ops.mkldnn._convolution_pointwise_(
            total,
            channels_last(x, total.dtype),
            *self._weights(x, total.dtype),
            *self._geometry(),
            "add",
            1.0,
            "relu",
            [],
            "",
        )

    def _product(self, x: Tensor, dtype: torch.dtype, after: str) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            channels_last(x, dtype),
            *self._weights(x, dtype),
            *self._geometry(),
            after,
            [],
            "",
        )

    def of_codes(
        self, codes: Tensor, given: Range, to: Range | torch.dtype, after: str = "none"
    ) -> Tensor:
        """The convolution of codes as codes of a range, or as numbers of a type."""
        weights = self._weights_of_codes(codes, given)
        return convolve(codes, given, weights, self._geometry(), to, after)

    def codes_onto(
        self, total: Tensor, had: Range, codes: Tensor, given: Range, to: Range
    ) -> Tensor:
        """relu(total + convolution of codes), in the place of ``total``."""
        weights = self._weights_of_codes(codes, given)
        return convolve_onto(total, had, codes, given, weights, self._geometry(), to)

    @property
    def folds(self) -> bool:
        """Whether it is one linear map, so that a ReLU may follow inside it."""
        norm = self.norm
        constant = type(norm) is FrozenBatchNorm2d or (
            isinstance(norm, nn.BatchNorm2d) and not norm.training and norm.track_running_stats
        )
        return constant and not self.weight.is_inference()

    def _geometry(self) -> Geometry:
        return list(self.padding), list(self.stride), list(self.dilation), self.groups

    def _weights(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        def pack() -> tuple[Tensor, Tensor | None]:
            weight, bias = self._folded()
            padding, stride, dilation, groups = self._geometry()
            packed = torch.ops.mkldnn._reorder_convolution_weight(
                weight.to(dtype), padding, stride, dilation, groups, list(x.shape)
            )
            return packed, None if bias is None else bias.to(dtype)

        return self._packed(pack, (dtype, x.shape), *self._constants())

    def _weights_of_codes(self, codes: Tensor, given: Range) -> Weights8:
        def pack() -> Weights8:
            weight, bias = self._folded()
            return pack_convolution(weight, bias, given, self._geometry(), codes.shape)

        return self._packed(pack, (given, codes.shape), *self._constants())

    def _constants(self) -> tuple[Tensor | None, ...]:
        norm = self.norm if self.folds else None
        of = (norm.weight, norm.bias, norm.running_mean, norm.running_var) if norm else ()
        return self.weight, self.bias, *of

    def _folded(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias, with a norm inside them where it folds."""
        weight, bias = self.weight.detach(), self.bias
        if self.folds:
            # In float64, so that folding rounds once.
            norm = self.norm
            scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
            shift = norm.bias - norm.running_mean * scale
            weight = weight * scale[:, None, None, None]
            bias = shift if bias is None else shift + bias * scale
        return weight, None if bias is None else bias.detach()


def channels_last(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The layout that packed convolutions read and write."""
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


class PackedBottleneck(BottleneckBlock):
    """Detectron2's block of a deep ResNet, its ReLUs and its sum inside the convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.uint8:
            return self._of_codes(x)
        dtype = packed_dtype(x)
        convolutions = (self.conv1, self.conv2, self.conv3)
        if dtype is None or not all(conv.folds for conv in convolutions):
            return super().forward(x)
        # Without a shortcut of its own, what comes in is a block's output that none else reads.
        total = channels_last(x, dtype) if self.shortcut is None else self.shortcut(x)
        inner = self.conv2.relu_of(self.conv1.relu_of(x, dtype), dtype)
        return self.conv3.onto(total, inner)

    def _of_codes(self, x: Tensor) -> Tensor:
        """Codes of the first convolution's range to codes of the block's own."""
        modules = (self.conv1, self.conv2, self.conv3, self, self.shortcut)
        first, second, third, own, beside = (known_range(module) for module in modules)
        total, had = x, first
        if self.shortcut is not None:
            total, had = self.shortcut.of_codes(x, first, beside), beside
        inner = self.conv1.of_codes(x, first, second, "relu")
        inner = self.conv2.of_codes(inner, second, third, "relu")
        return self.conv3.codes_onto(total, had, inner, third, own)


class PackedResNet(ResNet):
    """Detectron2's ResNet of blocks as above alone: codes go from block to block."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        dtype = packed_dtype(x)
        begins = None if dtype is None else known_range(self.stages[0][0].conv1)
        if dtype is None or begins is None or self.num_classes is not None:
            return super().forward(x)
        x = self.stem(x)
        outputs = {"stem": x} if "stem" in self._out_features else {}
        codes = begins.codes(channels_last(x, x.dtype))
        for name, stage in zip(self.stage_names, self.stages, strict=True):
            codes = stage(codes)
            ends = known_range(stage[-1])
            if name in self._out_features and ends is not None:
                outputs[name] = ends.numbers(codes, dtype)
        return outputs


def pack_convolutions(network: nn.Module) -> None:
    """Let a network's convolutions, and blocks of a ResNet, be those above; Detectron2's alone."""
    for module in network.modules():
        if type(module) is Conv2d:
            module.__class__ = PackedConv2d
            module._packed = Kept()  # type: ignore[assignment]
        elif isinstance(module, ResNet):
            blocks = [(place, b) for stage in module.stages for place, b in enumerate(stage)]
            for place, block in blocks:
                if type(block) is BottleneckBlock and (place or block.shortcut is not None):
                    block.__class__ = PackedBottleneck
            if type(module) is ResNet and all(type(b) is PackedBottleneck for _, b in blocks):
                module.__class__ = PackedResNet
