"""Whole trainings of LSeg: resumed exactly, in two processes, from published weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from pading.checkpoint.checkpointer import Checkpointer
from pading.errors import InputError
from tests.engine.test_scale import STEPS, TOLERANCE, options, ten_steps
from tests.engine.two_processes import in_processes
from tests.models.lseg.conftest import VIT
from tests.runs import UNSCORED, Killed, assert_same_weights, train

STAGE = "semantic/LSeg"
RESNET = {
    "MODEL.BACKBONE.NAME": "build_timm_backbone",
    "MODEL.TIMM.NAME": "resnet10t",
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.LSEG.FEATURES": ["res2", "res3", "res4", "res5"],
}
NARROW = ("MODEL.CONVNET.WIDTHS", "[6,8,8,10]", "MODEL.CONVNET.DEPTH", 1, "MODEL.LSEG.CHANNELS", 8)


def test_a_resumed_run_ends_with_the_same_weights(
    tiny_scenes: Path,
    kill_at: Callable,
    tmp_path: Path,
) -> None:
    settings = [*UNSCORED, *NARROW, "SOLVER.MAX_ITER", 6, "SOLVER.WARMUP_ITERS", 2]
    train(STAGE, tmp_path / "whole", *settings)
    kill_at(3)
    with pytest.raises(Killed):
        train(STAGE, tmp_path / "cut", "--resume", *settings)
    train(STAGE, tmp_path / "cut", "--resume", *settings)
    assert_same_weights(tmp_path / "whole/model_final.pth", tmp_path / "cut/model_final.pth")


def test_two_processes_are_one(tiny_scenes: Path, tmp_path: Path) -> None:
    """With batch statistics of both, and a loss that is the mean over the pixels of both."""
    settings = ("SOLVER.OPTIMIZER", "SGD", "SOLVER.BASE_LR", 0.01, "SOLVER.WARMUP_ITERS", 0)
    results = {
        count: in_processes(
            count, ten_steps, tmp_path, STAGE, options(tmp_path / str(count), *NARROW, *settings)
        )
        for count in (1, 2)
    }
    [one], (first, second) = results[1], results[2]
    for step, (mine, theirs) in enumerate(zip(one["losses"], first["losses"], strict=True)):
        assert theirs == pytest.approx(mine, rel=TOLERANCE, abs=TOLERANCE), f"step {step}"
    assert len(one["losses"]) == STEPS
    assert one["losses"][-1] != pytest.approx(one["losses"][0], rel=1e-3), "nothing was learned"
    for name, value in one["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, rtol=1e-4, atol=TOLERANCE)
        assert torch.equal(second["weights"][name], first["weights"][name]), name


def test_a_lightning_checkpoint_loads_with_or_without_its_prefix(
    make_lseg: Callable, tmp_path: Path
) -> None:
    source, wanted = make_lseg(VIT), make_lseg(VIT).state_dict()
    published = source.published_names.to_published(source.state_dict())
    del published["class_vectors"]  # which published files lack
    published["net.clip_pretrained.visual.proj"] = torch.zeros(3, 4, dtype=torch.float16)
    published["net.pretrained.model.head.bias"] = torch.zeros(1000)
    for prefix in ("net.", ""):
        state = {prefix + name.removeprefix("net."): v for name, v in published.items()}
        torch.save({"state_dict": state, "epoch": 3}, tmp_path / "demo_e200.ckpt")
        model = make_lseg(VIT)
        Checkpointer(model).load(str(tmp_path / "demo_e200.ckpt"))
        for name, value in model.state_dict().items():
            same = wanted if name == "class_vectors" else source.state_dict()
            assert torch.equal(value, same[name]), name


@pytest.mark.parametrize("block", [True, False])
def test_a_checkpoint_of_another_variant(block: bool, make_lseg: Callable, tmp_path: Path) -> None:
    with_block = {**VIT, "MODEL.LSEG.BLOCK": "bottleneck"}
    source, model = (make_lseg(with_block if b else VIT) for b in (block, not block))
    torch.save({"state_dict": source.state_dict()}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"spatial_regularisation\.convolutions\.0\.weight"):
        Checkpointer(model).load(str(tmp_path / "other.ckpt"))


def test_the_zero_shot_network_given_to_the_supervised_one(
    make_lseg: Callable, tmp_path: Path
) -> None:
    """Published: torchvision's ResNet-101 there, a vision transformer here."""
    source, model = make_lseg(RESNET), make_lseg(VIT)
    published = source.published_names.to_published(source.state_dict())
    assert any(name.startswith("net.pretrained.layer4.") for name in published)
    torch.save({"state_dict": published}, tmp_path / "pascal_fold0.ckpt")
    with pytest.raises(
        InputError, match=r"(?s)pascal_fold0\.ckpt: .*backbone\.vit\..*use the configuration"
    ):
        Checkpointer(model).load(str(tmp_path / "pascal_fold0.ckpt"))


def test_vectors_of_another_width(make_lseg: Callable, tmp_path: Path) -> None:
    source, model = make_lseg(), make_lseg()
    state = source.state_dict()
    state["pixel_embedding.weight"] = torch.zeros(20, *state["pixel_embedding.weight"].shape[1:])
    state["pixel_embedding.bias"] = torch.zeros(20)
    state["class_vectors"] = torch.zeros(5, 20)
    torch.save({"model": state}, tmp_path / "wide.pth")
    with pytest.raises(InputError, match=r"of 20 numbers, but MODEL\.CLASS_VECTORS gives 12"):
        Checkpointer(model).load(str(tmp_path / "wide.pth"))


def test_the_network_is_exported(make_lseg: Callable, rng: torch.Generator) -> None:
    for settings in ({}, VIT):
        model = make_lseg(settings).eval()
        images = torch.randn(1, 3, 64, 64, generator=rng)
        with torch.no_grad():
            graph = torch.export.export(_Network(model), (images,)).module()
            torch.testing.assert_close(graph(images), model.network(images), atol=1e-4, rtol=0)


class _Network(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.network(images)


def test_a_backbone_of_timm_alone(make_lseg: Callable, tmp_path: Path) -> None:
    options = dict(zip(*[iter(VIT["MODEL.TOKENS.OPTIONS"])] * 2, strict=True)) | {"img_size": 32}
    source = timm.create_model(VIT["MODEL.TOKENS.NAME"], **options)
    torch.save(source.state_dict(), tmp_path / "vit.pth")
    model = make_lseg(VIT)
    Checkpointer(model).load(str(tmp_path / "vit.pth"))
    weights = model.backbone.vit.state_dict()
    for name in ("blocks.3.mlp.fc2.weight", "cls_token", "patch_embed.proj.bias"):
        assert torch.equal(weights[name], source.state_dict()[name]), name
    other = make_lseg(
        {**VIT, "MODEL.TOKENS.NAME": "vit_tiny_patch16_224", "MODEL.TOKENS.OPTIONS": []}
    )
    with pytest.raises(InputError, match=r"vit\.pth: the weights of the backbone vit_tiny"):
        Checkpointer(other).load(str(tmp_path / "vit.pth"))
