"""8-bit layers against those in float32."""

import pytest
import torch
from detectron2.layers import Conv2d
from torch import Tensor, nn

from pading.errors import InputError
from pading.layers.eight_bits import Range, check_eight_bits, eight_bits, watched
from pading.layers.packed import PackedResNet, pack_convolutions
from pading.layers.packed_linear import Linear
from pading.layers.pixel_decoder import EncoderLayer
from pading.layers.ranges import measured_ranges
from tests.layers.test_packed import resnet

pytestmark = pytest.mark.skipif(
    not torch.cpu._is_vnni_supported(), reason="this processor has no 8-bit instructions"
)


def apart(found: Tensor, wanted: Tensor) -> float:
    """The difference relative to the numbers."""
    return float((found.float() - wanted).norm() / wanted.norm())


def test_codes(rng: torch.Generator) -> None:
    x = torch.rand(2, 3, 5, 7, generator=rng) * 3 - 1
    x = x.contiguous(memory_format=torch.channels_last)
    ends = Range(-1.0, 2.0)
    codes = ends.codes(x)
    assert codes.dtype == torch.uint8
    assert codes.stride() == x.stride()
    torch.testing.assert_close(
        ends.numbers(codes, torch.float32), x, atol=0.51 * ends.scale, rtol=0
    )
    assert ends.codes(torch.tensor([-9.0, 0.0, 9.0])).tolist() == [0, ends.zero, 255]


def test_a_range_leaves_out_the_outermost_numbers(rng: torch.Generator) -> None:
    x = torch.rand(2, 5000, generator=rng)
    x[1, 7] = 1000.0
    module = torch.nn.Identity()
    with watched({"in": module}, {"out": module}) as found:
        module(x)
        module(x[:, :10])
    for name in ("in", "out"):
        wide, few = found[name]
        assert wide.low == 0.0 and 0.99 < wide.high <= 1.0
        assert few.high == 1000.0  # of few numbers none is left out


def test_residual_blocks(rng: torch.Generator) -> None:
    """A single random network may be twice as far away as the mean of several."""
    assert 1e-3 < sum(residual_blocks_apart(rng) for _ in range(8)) / 8 < 0.065


def residual_blocks_apart(rng: torch.Generator) -> float:
    network, images = resnet(rng), torch.randn(2, 3, 40, 56, generator=rng)
    network.stages[1][0] = type(network.stages[0][1])(32, 32, bottleneck_channels=8, norm="BN")
    network.stages = [stage[:1] for stage in network.stages[:1]]  # with a shortcut of its own
    network.stage_names, network._out_features = network.stage_names[:1], ["res2"]
    pack_convolutions(network)
    assert type(network) is PackedResNet
    ranges = measured_ranges(network, network, [images])
    assert {"res2.0", "res2.0.conv3", "res2.0.shortcut"} <= set(ranges)
    with torch.no_grad():
        wanted = network(images)["res2"]
        with eight_bits(network, ranges):
            found = network(images)["res2"]
    return apart(found, wanted)


def test_feed_forward_and_large_convolutions(rng: torch.Generator) -> None:
    layers = nn.ModuleDict(
        {
            "encoder": EncoderLayer(64, 96, 0.0, num_levels=1, num_heads=2, num_points=2),
            "large": Conv2d(64, 8, 3, padding=1),
            "small": Conv2d(8, 8, 3, padding=1),
        }
    ).eval()
    pack_convolutions(layers)
    encoder = layers["encoder"]
    tokens, image = torch.randn(2, 30, 64, generator=rng), torch.randn(1, 64, 9, 11, generator=rng)

    def run(_: object) -> tuple[Tensor, Tensor]:
        hidden = encoder.linear1(tokens, relu=True, then=encoder.linear2)
        return encoder.linear2(hidden), layers["small"](layers["large"](image))

    ranges = measured_ranges(layers, run, [None])
    assert set(ranges) == {"encoder.linear1", "encoder.linear2", "large"}
    with torch.no_grad():
        wanted = run(None)
        with eight_bits(layers, ranges):
            found = run(None)
    for ours, theirs in zip(found, wanted, strict=True):
        assert 1e-3 < apart(ours, theirs) < 0.1


def test_what_cannot_be_computed() -> None:
    with pytest.raises(InputError, match="has no layer that 8 bits would make faster"):
        measured_ranges(Linear(3, 3), print, [])
    with (
        pytest.raises(InputError, match="this network has no 'layer'"),
        eight_bits(Linear(3, 3), {"layer": Range(0.0, 1.0)}),
    ):
        pass
    with pytest.raises(InputError, match="have not been measured"):
        check_eight_bits("cpu", [])
    with pytest.raises(InputError, match="takes a CPU with 8-bit instructions"):
        check_eight_bits("cuda", ["layer", 0.0, 1.0])
