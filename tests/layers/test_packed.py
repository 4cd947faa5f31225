"""Packed layers against PyTorch's own."""

import copy

import pytest
import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from detectron2.modeling.backbone.resnet import BottleneckBlock, ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from pading.layers.packed import (
    PackedBottleneck,
    PackedConv2d,
    pack_convolutions,
    packed_dtype,
    pytorchs_own_layers,
)
from pading.layers.packed_linear import Linear, PackedAttention, product, short_softmax


def frozen(channels: int, rng: torch.Generator) -> FrozenBatchNorm2d:
    norm = FrozenBatchNorm2d(channels)
    for buffer in norm.buffers():
        buffer.copy_(torch.rand(channels, generator=rng) + 0.5)
    return norm


def both(module: nn.Module, x: Tensor, **how: bool) -> tuple[Tensor, Tensor]:
    """What the module gives where gradients are wanted, and where they are not."""
    plain = module(x, **how)
    with torch.no_grad():
        return plain.detach(), module(x, **how)


@pytest.mark.parametrize("relu", [False, True])
def test_linear_layers(rng: torch.Generator, relu: bool) -> None:
    layer, x = Linear(24, 40), torch.randn(2, 7, 24, generator=rng)
    torch.testing.assert_close(*both(layer, x, relu=relu), rtol=1e-5, atol=1e-5)


def test_attention(rng: torch.Generator) -> None:
    attention = PackedAttention(16, 4)
    query, key, value = (torch.randn(2, n, 16, generator=rng) for n in (3, 5, 5))
    visible = torch.rand(2, 3, 5, generator=rng) < 0.5
    visible[..., 0] = True
    plain = attention(query, key, value, visible)
    with torch.no_grad():
        packed = attention(query, key, value, visible)
        attention.in_proj_weight.mul_(2)
        assert not torch.allclose(attention(query, key, value, visible), packed, atol=1e-3)
    torch.testing.assert_close(packed, plain.detach(), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_wide_products(rng: torch.Generator) -> None:
    a, b = torch.randn(3, 5, generator=rng), torch.randn(5, 700, generator=rng)
    torch.testing.assert_close(product(a, b), a @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["frozen", "group", "none"])
@pytest.mark.parametrize("relu", [False, True])
def test_convolutions(rng: torch.Generator, norm: str, relu: bool) -> None:
    norms = {"frozen": frozen(8, rng), "group": nn.GroupNorm(2, 8), "none": None}
    activation = F.relu if relu else None
    made = Conv2d(
        3, 8, 3, padding=1, stride=2, bias=norm != "group", norm=norms[norm], activation=activation
    )
    network = nn.Sequential(made)
    pack_convolutions(network)
    assert type(network[0]) is PackedConv2d
    for size in ((16, 24), (9, 11)):  # one after the other: weights are packed for a size
        torch.testing.assert_close(
            *both(network, torch.randn(2, 3, *size, generator=rng)), rtol=1e-5, atol=1e-5
        )


def resnet(rng: torch.Generator) -> ResNet:
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1))
    stem.stride, stem.out_channels = 2, 16
    stages = [
        [
            BottleneckBlock(16, 32, bottleneck_channels=8, norm=lambda c: frozen(c, rng)),
            BottleneckBlock(32, 32, bottleneck_channels=8, norm=lambda c: frozen(c, rng)),
        ],
        # A first block without a shortcut: it must not write where its stage's input lies.
        [BottleneckBlock(32, 32, bottleneck_channels=8, norm=lambda c: frozen(c, rng))],
    ]
    return ResNet(stem, stages, out_features=["res2", "res3"]).eval()


def test_residual_blocks_keep_the_features_of_every_stage(rng: torch.Generator) -> None:
    plain = resnet(rng)
    packed = copy.deepcopy(plain)
    pack_convolutions(packed)
    kinds = [type(block) for stage in packed.stages for block in stage]
    assert kinds == [PackedBottleneck, PackedBottleneck, BottleneckBlock]
    images = torch.randn(2, 3, 20, 28, generator=rng)
    with torch.no_grad():
        wanted, found = plain(images), packed(images)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-4)
    assert packed.state_dict().keys() == plain.state_dict().keys()


def test_weights_that_change_are_packed_again(rng: torch.Generator) -> None:
    layer, x = Linear(8, 8), torch.randn(3, 8, generator=rng)
    network = nn.Sequential(Conv2d(3, 4, 1, norm=frozen(4, rng)))
    pack_convolutions(network)
    image = torch.randn(1, 3, 5, 5, generator=rng)
    with torch.no_grad():
        before, seen = layer(x), network(image)
        layer.weight.mul_(2)
        network[0].norm.weight.mul_(2)
        assert not torch.allclose(layer(x), before)
        assert not torch.allclose(network(image), seen)
    torch.testing.assert_close(*both(layer, x))
    torch.testing.assert_close(*both(network, image), rtol=1e-5, atol=1e-5)
    copied = copy.deepcopy(layer)
    torch.testing.assert_close(*both(copied, x))


def test_softmax_of_a_short_axis(rng: torch.Generator) -> None:
    x = 50 * torch.randn(3, 5, 12, generator=rng)
    with torch.no_grad():
        torch.testing.assert_close(short_softmax(x), x.softmax(-1))


def test_mixed_precision(rng: torch.Generator) -> None:
    layer, x = Linear(24, 40), torch.randn(2, 7, 24, generator=rng)
    with torch.autocast("cpu", torch.bfloat16):
        plain, packed = both(layer, x)
    assert plain.dtype == packed.dtype == torch.bfloat16
    torch.testing.assert_close(packed, plain, rtol=2e-2, atol=2e-2)


def test_where_pytorchs_own_layers_are_called_for(rng: torch.Generator) -> None:
    x = torch.randn(2, 3, generator=rng)
    assert packed_dtype(x) is None  # gradients
    with torch.no_grad():
        assert packed_dtype(x) is torch.float32
        assert packed_dtype(x.double()) is None
        assert packed_dtype(x.to("meta")) is None
        assert packed_dtype(x[:0]) is None


@torch.no_grad()
def test_pytorchs_own_layers_where_bits_count(rng: torch.Generator) -> None:
    images = torch.randn(1, 3, generator=rng)
    with pytorchs_own_layers():
        assert packed_dtype(images) is None
    assert packed_dtype(images) == torch.float32
