"""The parts of LSeg: norms without embeddings, blocks, scales, names."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pading.models.lseg.checkpoint_names import LSEG_NAMES
from pading.models.lseg.fusion import Fusion, enlarged
from pading.models.lseg.pixel_text_logits import PixelTextLogits, isometric, mixture_norm
from pading.models.lseg.reassembly import resized_positions, scale_factors, size_divisor
from pading.models.lseg.spatial_regularisation import SpatialRegularisation


@pytest.mark.parametrize("size", [(5, 7), (1, 6), (4, 1), (1, 1)])
@pytest.mark.parametrize("factor", [2, 3])
def test_norm_of_an_enlarged_map(size: tuple[int, int], factor: int, rng: torch.Generator) -> None:
    x = torch.randn(2, 11, *size, generator=rng)
    wanted = factor * size[0], factor * size[1]
    expected = enlarged(x, wanted).norm(dim=1, keepdim=True)
    torch.testing.assert_close(mixture_norm(x, wanted), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("dim", "channels"), [(30, 4), (5, 4), (3, 8)])
def test_few_channels_have_all_products(dim: int, channels: int, rng: torch.Generator) -> None:
    weight, bias = (torch.randn(*s, generator=rng) for s in ((dim, channels), (dim,)))
    root, rest = isometric(weight, bias)
    assert len(root) == min(dim, channels + 1)
    x = torch.randn(channels, 9, generator=rng)
    full, few = weight @ x + bias[:, None], root @ x + rest[:, None]
    torch.testing.assert_close(few.T @ few, full.T @ full, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("per_image", [False, True])
def test_products_in_the_published_order(per_image: bool, rng: torch.Generator) -> None:
    """Enlarged, convolved twice, made unit, multiplied with the texts; gradients, too."""
    output, head = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 20, 1)
    fused = torch.randn(2, 6, 5, 4, generator=rng, requires_grad=True)
    text = F.normalize(torch.randn(*(2,) * per_image, 3, 20, generator=rng), dim=-1)
    found = PixelTextLogits(0.07)(fused, output, head, text)
    embeddings = F.normalize(head(output(enlarged(fused, (10, 8)))), dim=1)
    expected = (text @ embeddings.flatten(2)).unflatten(2, (10, 8)) / 0.07
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    chosen = torch.randn(found.shape, generator=rng)
    inputs = [fused, *output.parameters(), *head.parameters()]
    ours = torch.autograd.grad((found * chosen).sum(), inputs)
    theirs = torch.autograd.grad((expected * chosen).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("block", ["depthwise", "bottleneck"])
def test_blocks_do_not_know_the_order_of_labels(block: str, rng: torch.Generator) -> None:
    module = SpatialRegularisation(block, 3)
    logits = torch.randn(2, 5, 6, 7, generator=rng)
    order = torch.randperm(5, generator=rng)
    torch.testing.assert_close(module(logits[:, order]), module(logits)[:, order])
    assert module(logits[:, :2]).shape == (2, 2, 6, 7)


def test_kernels_of_a_block() -> None:
    assert len(list(SpatialRegularisation("depthwise", 4).parameters())) == 2
    assert len(list(SpatialRegularisation("depthwise", 4, shared=False).parameters())) == 8


def test_a_block_of_the_identity_adds_the_maximum(rng: torch.Generator) -> None:
    module = SpatialRegularisation("bottleneck", 1)
    nn.init.dirac_(module.convolutions[0].weight)
    nn.init.zeros_(module.convolutions[0].bias)
    logits = torch.randn(1, 4, 3, 3, generator=rng)
    torch.testing.assert_close(module(logits), logits + logits.amax(1, keepdim=True))


@pytest.mark.parametrize(
    ("patch", "factors", "divisor"),
    [
        (16, [4, 2, 1, 0.5], 32),
        (32, [8, 4, 2, 1], 32),
        (14, [4, 2, 1, 0.5], 28),
        (8, [2, 1, 0.5, 0.25], 32),
    ],
)
def test_scales_of_a_patch(patch: int, factors: list[float], divisor: int) -> None:
    assert scale_factors(patch) == factors
    assert size_divisor(patch) == divisor


def test_positions_of_the_same_grid_stay(rng: torch.Generator) -> None:
    positions = torch.randn(1, 1 + 9, 4, generator=rng)
    assert resized_positions(positions, 1, (3, 3)) is positions
    resized = resized_positions(positions, 1, (2, 5))
    assert resized.shape == (1, 11, 4)
    assert torch.equal(resized[:, 0], positions[:, 0])


def test_the_coarsest_stage_adds_nothing() -> None:
    names = dict(Fusion([4, 4, 4, 4], 8).named_parameters())
    assert "stages.2.skip_unit.conv1.weight" in names
    assert not any(name.startswith("stages.3.skip_unit.") for name in names)


@pytest.mark.parametrize("prefix", ["net.", "", "module.net."])
def test_published_names(prefix: str) -> None:
    for theirs, ours in {
        "pretrained.model.blocks.3.attn.qkv.weight": "backbone.vit.blocks.3.attn.qkv.weight",
        "pretrained.act_postprocess2.0.project.0.bias": "reassembly.scales.1.readout.project.bias",
        "pretrained.act_postprocess4.4.weight": "reassembly.scales.3.resize.weight",
        "pretrained.layer1.4.0.bn1.weight": "backbone.model.layer1.0.bn1.weight",
        "pretrained.layer3.5.conv2.weight": "backbone.model.layer3.5.conv2.weight",
        "scratch.refinenet1.resConfUnit2.bn1.bias": "fusion.stages.0.unit.bn1.bias",
        "scratch.refinenet4.resConfUnit1.bn1": "published.scratch.refinenet4.resConfUnit1.bn1",
        "scratch.head_block.depthwise.depthwise.bias": "spatial_regularisation.convolutions.0.bias",
        "clip_pretrained.visual.proj": "published.clip_pretrained.visual.proj",
        "pretrained.model.norm.weight": "published.pretrained.model.norm.weight",
    }.items():
        assert LSEG_NAMES.ours(prefix + theirs) == ours
        assert LSEG_NAMES.ours(ours) == ours
        assert LSEG_NAMES.published(ours) == "net." + theirs
