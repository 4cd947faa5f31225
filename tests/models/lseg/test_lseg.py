"""LSeg as a whole: any backbone, size and labels in; losses and results out."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.nn import functional as F

from pading.errors import InputError
from pading.models.lseg.lseg import LSeg
from pading.structures import pixel_classes
from pading.vocabulary.splits import ClassInfo, ClassSplit
from tests.models.lseg.conftest import VIT, WIDTH

CLASSES = 5
TIMM = {
    "MODEL.BACKBONE.NAME": "build_timm_backbone",
    "MODEL.TIMM.NAME": "mobilenetv3_small_050",
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.LSEG.FEATURES": ["res2", "res3", "res4", "res5"],
}
PATCH_14 = {**VIT, "MODEL.TOKENS.NAME": "vit_small_patch14_reg4_dinov2"}
ROTARY = {
    **VIT,
    "MODEL.TOKENS.NAME": "vit_small_patch16_dinov3",
    "MODEL.TOKENS.OPTIONS": ["depth", 4, "embed_dim", 32, "num_heads", 2],
}
BACKBONES = {
    "convnet": {},
    "vit": VIT,
    "as timm resizes": {**VIT, "MODEL.TOKENS.POSITION_RESIZE": "timm"},
    "added": {**VIT, "MODEL.TOKENS.READOUT": "add"},
    "patches of 14, registers": PATCH_14,
    "rotary": ROTARY,
    "timm": TIMM,
}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_any_backbone_and_size(backbone: str, make_lseg: Callable, rng: torch.Generator) -> None:
    model = make_lseg(BACKBONES[backbone]).eval()
    with torch.no_grad():
        for height, width in ((64, 96), (37, 51)):
            logits = model.network(torch.randn(2, 3, height, width, generator=rng))
            assert logits.shape == (2, CLASSES, height, width)
            assert logits.isfinite().all()
            assert logits.abs().max() <= 1 / 0.07 + 1e-3


@pytest.mark.parametrize("backbone", ["convnet", "vit"])
@pytest.mark.parametrize("block", ["none", "bottleneck", "depthwise"])
def test_training_reaches_every_parameter(
    backbone: str, block: str, make_lseg: Callable, make_labelled: Callable
) -> None:
    settings = {"MODEL.LSEG.BLOCK": block, "MODEL.LSEG.BLOCK_DEPTH": 2}
    settings |= {"MODEL.LSEG.BLOCK_SHARED": False, "MODEL.LSEG.LEARN_TEMPERATURE": True}
    model = make_lseg(BACKBONES[backbone] | settings).train()
    [loss] = model(make_labelled([0, 2], [4])).values()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_training_is_on_seen_labels_alone(
    make_lseg: Callable, make_labelled: Callable, rng: torch.Generator
) -> None:
    model = make_lseg().eval()
    batch = make_labelled([0, 2], [4])
    with torch.no_grad():
        losses = model.training_losses(batch)
        images, sizes = model.preprocess(batch)
        wanted = model.losses(model.network(images), model.targets(batch, sizes))
        torch.testing.assert_close(losses, wanted, atol=1e-5, rtol=1e-5)
        model.class_vectors[[1, 3]] = torch.randn(2, WIDTH, generator=rng)
        assert model.training_losses(batch) == losses
    with pytest.raises(InputError, match="the unseen class 'fork' in training"):
        model.training_losses(make_labelled([0, 1]))


def test_void_everywhere_is_no_loss(make_lseg: Callable, make_labelled: Callable) -> None:
    model = make_lseg().train()
    [loss] = model(make_labelled([], [])).values()
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_embeddings_are_what_the_scores_compare(make_lseg: Callable, rng: torch.Generator) -> None:
    model = make_lseg().eval()
    image = torch.rand(3, 64, 96, generator=rng) * 255
    found = model.encode_pixels(image)
    assert found.shape == (WIDTH, 64, 96)
    torch.testing.assert_close(found.norm(dim=0), torch.ones(64, 96))
    # At half the size nothing is enlarged but what both are.
    pixels, _ = model.preprocess([{"image": image}])
    with torch.no_grad():
        fused = model.fused(pixels)
        unit = model.comparison.embeddings(fused, model.fusion.last_output, model.pixel_embedding)
        scores = model.label_maps(fused, model.text)
    wanted = torch.einsum("kd,bdhw->bkhw", model.text, unit) / 0.07
    torch.testing.assert_close(scores, wanted, atol=1e-4, rtol=0)


def test_free_labels(make_lseg: Callable, rng: torch.Generator) -> None:
    model = make_lseg().eval()
    batch = [{"image": torch.rand(3, 40, 60, generator=rng) * 255}]
    with torch.no_grad():
        before = model(batch)[0]["sem_seg"]
        vectors = torch.cat((model.class_vectors[[4, 0]], torch.randn(1, WIDTH, generator=rng)))
        names = ("spoon", "cup", "other")
        split = ClassSplit("free", tuple(ClassInfo(i, n, True, False) for i, n in enumerate(names)))
        free = model.with_classes(split, vectors, [4, 0, None])
        found = free(batch)[0]["sem_seg"]
        assert found.shape == (3, 40, 60)
        torch.testing.assert_close(found.sum(0), torch.ones(40, 60))
        ratio = (found[0] / found[1]).log() - (before[4] / before[0]).log()
        assert ratio.abs().max() < 1e-3
        assert torch.equal(model(batch)[0]["sem_seg"], before)


def test_views_of_the_published_evaluation(make_lseg: Callable, rng: torch.Generator) -> None:
    """Section 5 of the paper's code, in loops: sizes, windows and mirrored ones, one at a time."""
    crop, stride, scales = 64, 42, (0.5, 1.5)
    settings = {"MODEL.LSEG.BASE_SIZE": 80, "MODEL.INFERENCE.WINDOW": [crop, crop]}
    settings |= {"MODEL.INFERENCE.STRIDE": [stride, stride], "MODEL.INFERENCE.SCALES": [*scales]}
    model = make_lseg(settings | {"MODEL.INFERENCE.FLIP": True}).eval()
    image = torch.rand(3, 37, 61, generator=rng) * 255
    pixels, _ = model.preprocess([{"image": image}])
    black = (-model.pixel_mean / model.pixel_std)[None]

    def looked_at(part: torch.Tensor) -> torch.Tensor:
        height, width = part.shape[-2:]
        square = black.expand(1, 3, crop, crop).clone()
        square[..., :height, :width] = part
        found = model.network(square) + model.network(square.flip(-1)).flip(-1)
        return found[..., :height, :width]

    total = torch.zeros(1, CLASSES, 37, 61)
    with torch.no_grad():
        for size in ((24, 40), (73, 120)):  # longer sides of 80 x 0.5 and 80 x 1.5
            view = F.interpolate(pixels, size, mode="bilinear", align_corners=True)
            sums, counts = torch.zeros(1, CLASSES, *size), torch.zeros(size)
            places = [range(0, max(side - crop, 0) + stride, stride) for side in size]
            for y, x in product(*places):
                window = (..., slice(y, y + crop), slice(x, x + crop))
                sums[window] += looked_at(view[window])
                counts[window] += 1
            assert counts.min() >= 1
            total += F.interpolate(sums / counts, (37, 61), mode="bilinear", align_corners=True)
        [result] = model([{"image": image}])
    wanted = (total / (2 * len(scales))).softmax(1)[0]
    torch.testing.assert_close(result["sem_seg"], wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"MODEL.TOKENS.NAME": "vit_enormous"}, "timm knows no model 'vit_enormous'"),
        ({"MODEL.TOKENS.NAME": "resnet18"}, r"MODEL\.TOKENS.*'resnet18'"),
        ({"MODEL.TOKENS.TAPS": [0, 1, 2, 4]}, "from 0 to 3, the last of vit_tiny"),
        ({"MODEL.TOKENS.TAPS": [0, 2, 1, 3]}, "four growing numbers"),
        ({"MODEL.TOKENS.OPTIONS": ["colour", 3]}, "cannot be built"),
    ],
)
def test_backbones_that_give_no_tokens(settings: dict, message: str, make_lseg: Callable) -> None:
    with pytest.raises(InputError, match=message):
        make_lseg(VIT | settings)


def test_features_that_the_backbone_lacks(make_lseg: Callable) -> None:
    with pytest.raises(InputError, match="FEATURES has 'res7'.*some of res1, res2"):
        make_lseg({"MODEL.LSEG.FEATURES": ["res2", "res7"]})


def test_panoptic_results_are_refused(make_lseg: Callable) -> None:
    with pytest.raises(InputError, match=r"MODEL\.INFERENCE\.PANOPTIC_ON: LSeg gives semantic"):
        make_lseg({"MODEL.INFERENCE.PANOPTIC_ON": True})


def test_groups_and_rates(make_lseg: Callable) -> None:
    from pading.config import load_config
    from pading.engine.optimizers import build_optimizer
    from tests.models.recordings import ROOT

    model = make_lseg(VIT)
    pairs = ["SOLVER.BASE_LR", "0.04", "SOLVER.BACKBONE_MULTIPLIER", "0.1"]
    pairs += ["SOLVER.REFERENCE_BATCH", "16", "SOLVER.IMS_PER_BATCH", "4"]
    cfg = load_config(str(ROOT / "configs" / "shapes" / "semantic" / "LSeg.yaml"), pairs)
    slow, fast = build_optimizer(cfg, model).param_groups
    assert (slow["lr"], fast["lr"]) == pytest.approx((0.001, 0.01))
    of_backbone = [*model.backbone.parameters(), *model.reassembly.parameters()]
    assert {*map(id, slow["params"])} == {*map(id, of_backbone)}
    assert len(slow["params"]) + len(fast["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize(
    "overrides",
    [
        {"MODEL.LSEG.BLOCK": "bottleneck", "MODEL.LSEG.BLOCK_DEPTH": 3},
        {"MODEL.LSEG.BLOCK": "depthwise", "MODEL.INFERENCE.SEEN_BIAS": 0.1},
        {"MODEL.INFERENCE.FLIP": True, "MODEL.INFERENCE.SCALES": [0.75, 1.0]},
        {"MODEL.INFERENCE.WINDOW": [32, 32], "MODEL.INFERENCE.STRIDE": [24, 24]},
        {"MODEL.LSEG.BASE_SIZE": 48, "MODEL.INFERENCE.WINDOW": [32, 32]},
    ],
)
def test_classes_by_chunks_are_those_of_all_at_once(
    make_lseg: Callable[..., LSeg], overrides: dict[str, object], rng: torch.Generator
) -> None:
    model = make_lseg(overrides).eval()
    image = {"image": torch.randint(256, (3, 40, 56), generator=rng), "height": 50, "width": 70}
    with torch.no_grad():
        expected = pixel_classes(model([image])[0])
        model.inference = replace(model.inference, memory=2 * 4 * 50 * 70)
        [found] = model([image])
    labels, best, total = found["pixel_classes"]
    torch.testing.assert_close(best, expected.best, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(total, expected.total, atol=1e-5, rtol=1e-4)
    assert (labels == expected.labels).float().mean() > 0.99  # but for ties
