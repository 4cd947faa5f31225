"""What the backbone sees in masks: against a loop in float64, and as part of embeddings."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pading.checkpoint.checkpointer import Checkpointer
from pading.errors import InputError
from pading.models.pading.backbone_means import backbone_means
from pading.models.pading.conversion import convert
from pading.models.pading.embedding_store import segmenter_checksum

DIM, MAPS = 32, ["res3", "res4"]
NARROW = {"MODEL.CONVNET.WIDTHS": [16, 24, 32, 40]}
WIDE = {**NARROW, "MODEL.ZERO_SHOT.BACKBONE_FEATURES": MAPS}


@pytest.fixture
def widths(make_model: Callable) -> dict[str, int]:
    shapes = make_model("PADing", WIDE).backbone.output_shape()
    return {name: shapes[name].channels for name in MAPS}


def test_means_equal_a_loop(rng: torch.Generator, seed: int) -> None:
    maps = [torch.randn(2, c, s, s + 1, generator=rng) for c, s in ((5, 8), (12, 4))]
    masks = 4 * torch.randn(2, 3, 16, 18, generator=rng)
    found = backbone_means(maps, masks, DIM)
    assert found.shape == (2, 3, 17)
    for image in range(2):
        for query in range(3):
            parts = []
            for one in maps:
                size = one.shape[-2:]
                mask = masks[image, query].double()[None, None]
                chances = F.interpolate(mask, size, mode="bilinear").sigmoid()[0, 0]
                mean = (one[image].double() * chances).sum((1, 2)) / chances.sum()
                centred = mean - mean.mean()
                parts.append(centred / (centred.square().mean() + 1e-5).sqrt())
                parts[-1] *= (DIM / len(mean)) ** 0.5
            wanted = torch.cat(parts).float()
            torch.testing.assert_close(found[image, query], wanted, rtol=1e-4, atol=1e-4)


def test_mask_without_a_chance(rng: torch.Generator, seed: int) -> None:
    masks = torch.full((1, 1, 8, 8), -500.0)
    assert backbone_means([torch.randn(1, 4, 4, 4, generator=rng)], masks, DIM).isfinite().all()


def test_embeddings_begin_with_the_decoders(
    make_model: Callable, make_batch: Callable, widths: dict[str, int], seed: int
) -> None:
    model = make_model("PADing", WIDE).eval()
    width = DIM + sum(widths.values())
    assert (model.width, model.classifier.in_features) == (width, width)
    batch = make_batch([0, 2], [4])
    images, _ = model.preprocess(batch)
    with torch.no_grad():
        found = model.segment(images)
        maps = model.backbone(images)
    decoder = model.sem_seg_head["predictor"]
    # The stage-1 head reads the first numbers, and gives the logits that come with them.
    own = found.embeddings[..., :DIM]
    torch.testing.assert_close(decoder.class_embed(own), found.logits, rtol=1e-4, atol=1e-4)
    means = backbone_means([maps[name] for name in MAPS], found.masks, DIM)
    torch.testing.assert_close(found.embeddings[..., DIM:], means, rtol=1e-4, atol=1e-4)
    assert model.labelled_embeddings(batch)[0].shape == (2 * 8, width)


def _saved(model: nn.Module, path: Path) -> str:
    torch.save({"model": model.state_dict()}, path)
    return str(path)


def test_converted_checkpoint_classifies_as_before(
    make_model: Callable, make_batch: Callable, tmp_path: Path, seed: int
) -> None:
    first = make_model("pretrain", NARROW)
    weights, _ = convert({"model": first.state_dict()}, first.split, "stage 1")
    torch.save({"model": weights}, tmp_path / "converted.pth")
    narrow, wide = make_model("PADing", NARROW), make_model("PADing", WIDE)
    for model in (narrow, wide):
        Checkpointer(model).load(str(tmp_path / "converted.pth"))
    assert not wide.classifier.weight[:, DIM:].any()
    assert segmenter_checksum(wide) == segmenter_checksum(narrow)
    images, _ = wide.preprocess(make_batch([0]))
    with torch.no_grad():
        found, wanted = (model.eval().network(images).logits for model in (wide, narrow))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_all_of_the_embedding_learns(
    make_model: Callable, rng: torch.Generator, tmp_path: Path, seed: int
) -> None:
    model = make_model("PADing", WIDE).train()
    labels = torch.tensor([0, 2, 4, 0, 2] + [5] * 7)
    losses = model.zero_shot_losses(torch.randn(12, model.width, generator=rng), labels)
    torch.stack(list(losses.values())).sum().backward()
    for part in (model.classifier, model.generator, model.disentangler):
        assert all(bool(p.grad.abs().sum() > 0) for p in part.parameters() if p.dim() > 1)
    assert model.classifier.weight.grad[:, DIM:].abs().sum() > 0
    again = make_model("PADing", WIDE)
    Checkpointer(again).load(_saved(model, tmp_path / "model_final.pth"))
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_stage_two_of_the_decoders_alone_is_refused(
    make_model: Callable, tmp_path: Path, seed: int
) -> None:
    narrow = make_model("PADing", NARROW)
    path = _saved(narrow, tmp_path / "model_final.pth")
    with pytest.raises(InputError, match=r"classifier\.weight"):
        Checkpointer(make_model("PADing", WIDE)).load(path)


def test_heads_that_do_not_divide(make_model: Callable) -> None:
    primitives = {"MODEL.GENERATOR.NAME": "primitives", "MODEL.GENERATOR.NUM_HEADS": 7}
    with pytest.raises(InputError, match=r"MODEL\.GENERATOR\.NUM_HEADS is 7.*numbers of"):
        make_model("PADing", {**WIDE, **primitives})
