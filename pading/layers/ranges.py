"""Which layers of a network are computed in 8 bits, and the ranges of their numbers on images."""

from collections.abc import Callable, Iterable
from statistics import fmean
from typing import TypeVar

import torch
from torch import nn

from pading.errors import InputError
from pading.layers.eight_bits import Range, watched
from pading.layers.packed import PackedConv2d, PackedResNet, pytorchs_own_layers
from pading.layers.pixel_decoder import EncoderLayer

_LEAST_PRODUCTS = 512
"""For one output: below it, making codes takes longer than the products save."""

Image = TypeVar("Image")


def measured_ranges(
    network: nn.Module, run: Callable[[Image], object], images: Iterable[Image]
) -> dict[str, Range]:
    """Ranges of what goes into the layers that 8 bits make faster, by names of modules.

    Those are the blocks of a ResNet, large convolutions outside of it, and the feed-forward blocks
    of the pixel decoder. A range leaves out an image's outermost numbers, and its ends are means
    over images, so that a few extremes do not make all codes coarse.

    Args:
        network: whose layers they are.
        run: looks at an image.
        images: at least one.

    Raises:
        InputError: no such layer.
    """
    inputs: dict[str, nn.Module] = {}
    outputs: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        if isinstance(module, PackedResNet):
            for stage, blocks in zip(module.stage_names, module.stages, strict=True):
                for place, block in enumerate(blocks):
                    own = f"{name}.{stage}.{place}".lstrip(".")
                    outputs[own] = block
                    for part in ("conv1", "conv2", "conv3"):
                        inputs[f"{own}.{part}"] = getattr(block, part)
                    if block.shortcut is not None:
                        outputs[f"{own}.shortcut"] = block.shortcut
        elif isinstance(module, EncoderLayer):
            inputs |= {f"{name}.{part}": getattr(module, part) for part in ("linear1", "linear2")}
    backbones = tuple(f"{n}." for n, m in network.named_modules() if isinstance(m, PackedResNet))
    for name, module in network.named_modules():
        beside = isinstance(module, PackedConv2d) and not name.startswith(backbones)
        if beside and module.weight[0].numel() >= _LEAST_PRODUCTS and module.kernel_size != (1, 1):
            inputs[name] = module
    if not inputs:
        raise InputError("this network has no layer that 8 bits would make faster")
    with torch.inference_mode(), pytorchs_own_layers(), watched(inputs, outputs) as found:
        for image in images:
            run(image)
    return {
        name: Range(*(fmean(ends) for ends in zip(*calls, strict=True)))
        for name, calls in found.items()
    }
