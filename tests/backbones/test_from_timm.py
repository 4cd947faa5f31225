"""Backbones from timm: any size, weights whole or not at all, statistics of timm's own record."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from pading.backbones.from_timm import TimmBackbone, timm_statistics, token_features
from pading.checkpoint.checkpointer import Checkpointer
from pading.config import load_config
from pading.errors import InputError
from pading.models.registry import build_model
from pading.vocabulary.splits import load_split
from tests.narrow import NARROW_OVERRIDES, SHAPES

NAME = "convnext_atto"  # whose modules are flattened where timm gives feature maps


@pytest.mark.parametrize("name", ["resnet10t", "swin_tiny_patch4_window7_224"])
def test_maps_of_four_strides(name: str, rng: torch.Generator) -> None:
    backbone = TimmBackbone(name).eval()
    shapes = backbone.output_shape()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 64, 96, generator=rng))
    for key, stride in zip(("res2", "res3", "res4", "res5"), (4, 8, 16, 32), strict=True):
        assert maps[key].shape == (1, shapes[key].channels, 64 // stride, 96 // stride)
        assert shapes[key].stride == stride


def test_a_frozen_backbone_has_nothing_to_learn() -> None:
    backbone = TimmBackbone("resnet10t", freeze=True).train()
    assert not any(p.requires_grad for p in backbone.parameters())
    before = {n: v.clone() for n, v in backbone.state_dict().items()}
    backbone(torch.randn(2, 3, 32, 32))
    assert all(torch.equal(v, before[n]) for n, v in backbone.state_dict().items())


def test_outputs_are_those_of_timm_with_its_weights(rng: torch.Generator) -> None:
    whole = timm.create_model(NAME).eval()
    backbone = TimmBackbone(NAME).eval()
    for weights in (whole.state_dict(), dict(enumerate_names(whole.state_dict()))):
        backbone.load_state_dict(backbone.own_weights(weights), strict=False)
        image = torch.randn(1, 3, 64, 64, generator=rng)
        with torch.no_grad():
            wanted = whole.forward_intermediates(image, intermediates_only=True)[-1]
            torch.testing.assert_close(backbone(image)["res5"], wanted)


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_035"])
def test_freezing_changes_no_output(name: str, rng: torch.Generator) -> None:
    # The activations of MobileNet are in its batch norms.
    free, frozen = TimmBackbone(name).eval(), TimmBackbone(name, freeze=True)
    frozen.load_state_dict(free.own_weights(free.model.state_dict()))
    image = torch.randn(1, 3, 64, 64, generator=rng)
    with torch.no_grad():
        for own, wanted in zip(frozen(image).values(), free(image).values(), strict=True):
            torch.testing.assert_close(own, wanted)


def enumerate_names(weights: dict) -> list:
    """Under names that say nothing but the kind, in the same order."""
    kinds = (name.rpartition(".")[2] for name in weights)
    return [
        (f"layer_{i}.{kind}", weights[name])
        for i, (kind, name) in enumerate(zip(kinds, weights, strict=True))
    ]


def make_model(stage: str):
    overrides = ["MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", NAME]
    cfg = load_config(str(SHAPES.with_name(f"{stage}.yaml")), [*NARROW_OVERRIDES, *overrides])
    split = load_split("shapes")
    return build_model(cfg, split, torch.randn(split.num_classes, 8))


@pytest.mark.parametrize("stage", ["pretrain", "PADing"])
def test_both_stages_take_it_and_its_weights(stage: str, tmp_path: Path, seed: int) -> None:
    whole = timm.create_model(NAME)
    save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    model = make_model(stage).eval()
    head = model.sem_seg_head["predictor"].class_embed.weight.clone()
    Checkpointer(model).load(str(tmp_path / "weights.safetensors"))
    own = model.backbone.own_weights(whole.state_dict())
    state = model.backbone.state_dict()
    assert own and all(torch.equal(state[name], value) for name, value in own.items())
    assert torch.equal(model.sem_seg_head["predictor"].class_embed.weight, head)
    with torch.no_grad():
        [result] = model([{"image": torch.zeros(3, 64, 64)}])
    assert result["panoptic_seg"][0].shape == (64, 64)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="other.safetensors: .* tensors of the backbone convnext"):
        Checkpointer(make_model("pretrain")).load(str(tmp_path / "other.safetensors"))


def test_weights_of_a_deeper_model_are_refused() -> None:
    # It holds every tensor of the shallower one, in the same shapes.
    deeper = timm.create_model("resnet34").state_dict()
    with pytest.raises(InputError, match="none of the model resnet18, layer1.2.conv1.weight first"):
        TimmBackbone("resnet18").own_weights(deeper)


def test_tensors_in_timms_order_but_of_other_kinds_are_refused() -> None:
    weights = timm.create_model("resnet10t").state_dict()
    swapped = [(n.replace("running_mean", "bias_"), v) for n, v in enumerate_names(weights)]
    with pytest.raises(InputError, match="missing or of another shape"):
        TimmBackbone("resnet10t").own_weights(dict(swapped))


@pytest.mark.parametrize("name", ["efficientvit_b0", "pvt_v2_b0"])
def test_whole_models_fit_their_feature_maps(name: str) -> None:
    # The first flattens modules that have names, the second none.
    weights = timm.create_model(name).state_dict()
    backbone = TimmBackbone(name)
    found = backbone.own_weights(weights)
    assert set(found) >= {n for n, _ in backbone.named_parameters()}
    # Counters of batches begin anew.
    taken = {id(v) for n, v in found.items() if not n.endswith("num_batches_tracked")}
    assert taken <= {id(v) for v in weights.values()}


def test_weights_load_into_batch_norms_that_are_trained(tmp_path: Path) -> None:
    weights = timm.create_model("resnet10t").state_dict()
    counters = [name for name in weights if name.endswith("num_batches_tracked")]
    torch.save({n: v for n, v in weights.items() if n not in counters}, tmp_path / "w.pth")
    backbone = TimmBackbone("resnet10t")
    found = backbone.own_weights(torch.load(tmp_path / "w.pth"))
    assert set(found) == set(backbone.state_dict())


def test_weights_may_have_another_classifier() -> None:
    weights = timm.create_model("resnet10t", num_classes=3).state_dict()
    backbone = TimmBackbone("resnet10t")
    found = backbone.own_weights(weights)
    assert all(torch.equal(v, weights[n.removeprefix("model.")]) for n, v in found.items())


def test_statistics_are_timms() -> None:
    mean, std = timm_statistics("tf_efficientnet_lite0")
    assert mean == std == [127.5] * 3
    assert timm_statistics("resnet50")[0] == pytest.approx([123.675, 116.28, 103.53])
    cfg = load_config(str(SHAPES), ["MODEL.BACKBONE.NAME", "build_timm_backbone"])
    assert list(cfg.MODEL.PIXEL_MEAN) == [123.675, 116.28, 103.53]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", "timm does not know; did you mean resnet50"),
        ("vit_tiny_patch16_224", "strides 16, 16, 16, but 4, 8, 32 is needed"),
    ],
)
def test_models_that_cannot_serve(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TimmBackbone(name)


def test_tokens_of_a_vision_transformer(rng: torch.Generator) -> None:
    model = timm.create_model(
        "vit_tiny_patch16_224", depth=3, embed_dim=24, num_heads=3, dynamic_img_size=True
    ).eval()
    images = torch.randn(2, 3, 32, 64, generator=rng)
    with torch.no_grad():
        maps, prefix = token_features(model, images, [0, 2])
    assert [tuple(m.shape) for m in maps] == [(2, 24, 2, 4)] * 2
    assert prefix.shape == (2, 2, 24)
