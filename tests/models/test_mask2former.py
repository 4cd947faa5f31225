"""Stage 1 as a whole: labels in, losses and results out, and the sizes in between."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from pading.errors import InputError
from pading.layers.packed import pytorchs_own_layers
from pading.layers.pixel_decoder import Levels, cell_centres
from pading.layers.positions import sine_positions
from pading.layers.query_masks import MaskFeatures, attention_mask, visible_pixels
from pading.models.class_head import head_classes

SEEN, UNSEEN, CLASSES = (0, 2, 4), (1, 3), 5
PUBLISHED = {"MODEL.SEGMENTER.MASK_POOLING": False, "MODEL.SEGMENTER.LOSS.SEGMENT_WEIGHT": 0.0}


def test_unseen_classes_score_zero(make_model: Callable, make_batch: Callable, seed: int) -> None:
    model = make_model("pretrain").eval()
    with torch.no_grad():
        results = model(make_batch([0], [2]))
    for result, size in zip(results, ((64, 40), (64, 56)), strict=True):
        assert result["sem_seg"].shape == (CLASSES, *size)
        assert not result["sem_seg"][list(UNSEEN)].any()
        assert (result["sem_seg"][list(SEEN)].amax((1, 2)) > 0).all()
        ids, segments = result["panoptic_seg"]
        assert ids.shape == size
        assert {s["category_id"] for s in segments} <= set(SEEN)
        # Beside panoptic results, stuff is no instance.
        assert not set(result["instances"].pred_classes.tolist()) & {2, 3}


def test_results_have_the_size_asked_for(
    make_model: Callable, make_batch: Callable, seed: int
) -> None:
    model = make_model("pretrain").eval()
    batch = make_batch([0])
    batch[0] |= {"height": 33, "width": 91}
    with torch.no_grad():
        [result] = model(batch)
    assert result["sem_seg"].shape[1:] == result["panoptic_seg"][0].shape == (33, 91)
    assert result["instances"].image_size == (33, 91)


def test_panoptic_results_alone_are_those_beside_others(
    make_model: Callable, make_batch: Callable, seed: int
) -> None:
    model = make_model("pretrain", {"MODEL.INFERENCE.OVERLAP_THRESHOLD": 0.0}).eval()
    beside, alone = ("panoptic", "instance", "semantic"), ("panoptic",)
    batch = make_batch([0])
    found = []
    for threshold in (0.0, 0.4, 1.0):
        results = []
        for tasks in (beside, alone):
            model.inference = replace(model.inference, score_threshold=threshold, tasks=tasks)
            with torch.no_grad():
                [result] = model(batch)
            results.append(result["panoptic_seg"])
        (ids, segments), (ids_alone, segments_alone) = results
        assert torch.equal(ids, ids_alone)
        assert segments == segments_alone
        found.append(len(segments))
    assert found[0] >= found[1] >= found[2] == 0 < found[0]


def test_head_rows(make_model: Callable, make_batch: Callable, seed: int) -> None:
    stage_one, stage_two = make_model("pretrain"), make_model("PADing")
    assert stage_one.head_rows.tolist() == [0, -1, 1, -1, 2, 3]
    assert stage_two.head_rows.tolist() == [0, 1, 2, 3, 4, 5]
    batch = make_batch([4, 0, 2])
    for model, wanted in ((stage_one, [2, 0, 1]), (stage_two, [4, 0, 2])):
        [target] = model.targets(batch, model.preprocess(batch)[1])
        assert target.labels.tolist() == wanted
        assert target.masks.shape == (3, 64, 48)
        assert not target.masks[..., 40:].any()


def test_an_unseen_class_in_training_is_refused(
    make_model: Callable, make_batch: Callable, seed: int
) -> None:
    with pytest.raises(InputError, match="1.png: a segment of the unseen class 'floor' in train"):
        make_model("pretrain").train()(make_batch([0], [2, 3]))


@pytest.mark.parametrize(("settings", "losses_expected"), [(PUBLISHED, 9), ({}, 10)])
def test_training_reaches_every_parameter(
    settings: dict, losses_expected: int, make_model: Callable, make_batch: Callable, seed: int
) -> None:
    model = make_model("pretrain", settings).train()
    losses = model(make_batch([0, 2], [4]))
    assert len(losses) == losses_expected
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_one_image_does_not_depend_on_its_neighbour(
    make_model: Callable, make_batch: Callable, seed: int
) -> None:
    model = make_model("pretrain").eval()
    batch = make_batch([0], [2])
    batch[1]["image"] = batch[1]["image"][..., :40]  # one size, so that padding is the same
    with torch.no_grad():
        together, alone = model(batch)[0], model(batch[:1])[0]
    torch.testing.assert_close(together["sem_seg"], alone["sem_seg"], atol=1e-4, rtol=1e-4)


def test_swin_takes_sizes_that_do_not_divide(
    make_model: Callable, make_batch: Callable, seed: int
) -> None:
    swin = {"EMBED_DIM": 16, "DEPTHS": [1, 2, 1, 1], "NUM_HEADS": [1, 2, 2, 4], "WINDOW_SIZE": 5}
    settings = {f"MODEL.SWIN.{key}": value for key, value in swin.items()}
    model = make_model("pretrain", settings | {"MODEL.BACKBONE.NAME": "SwinTransformer"})
    with torch.no_grad():
        features = model.eval().backbone(torch.randn(1, 3, 70, 45))
    shapes = {name: tuple(value.shape[1:]) for name, value in features.items()}
    assert shapes == {
        "res2": (16, 18, 12),
        "res3": (32, 9, 6),
        "res4": (64, 5, 3),
        "res5": (128, 3, 2),
    }
    losses = model.train()(make_batch([0, 2]))
    assert all(value.isfinite() for value in losses.values())


def test_unknown_class_head(make_model: Callable) -> None:
    with pytest.raises(InputError, match=r"MODEL\.SEGMENTER\.CLASSES is 'some'"):
        make_model("pretrain", {"MODEL.SEGMENTER.CLASSES": "some"})
    split = make_model("pretrain").split
    assert head_classes(split, "seen") == SEEN


def test_queries_look_inside_their_masks() -> None:
    masks = torch.full((1, 2, 2, 2), -1.0)
    masks[0, 0, 0, 0] = 1.0
    visible = visible_pixels(masks)
    # The first sees its corner; the second has an empty mask and sees everything.
    assert visible.tolist() == [[[True, False, False, False], [True] * 4]]
    assert torch.equal(attention_mask(masks, torch.bfloat16) == 0, visible)


def test_means_of_features_in_masks() -> None:
    features = torch.arange(8.0).reshape(1, 2, 2, 2)
    masks = torch.full((1, 3, 2, 2), 100.0)
    masks[0, 0, :, 1] = -100.0
    masks[0, 2] = -1000.0
    # The left column, everything, and nothing for certain.
    assert MaskFeatures(features).means(masks).tolist() == [[[1.0, 5.0], [1.5, 5.5], [1.5, 5.5]]]


def test_true_segments_are_told_by_what_is_in_them(
    make_model: Callable, rng: torch.Generator, seed: int
) -> None:
    predictor = make_model("pretrain").sem_seg_head["predictor"]
    features = torch.randn(2, 32, 4, 4, generator=rng)
    masks = [torch.zeros(0, 16, 16, dtype=torch.bool), torch.zeros(1, 16, 16, dtype=torch.bool)]
    masks[1][0, 4:12, :4] = True  # one of its four columns, two of its rows
    pooled = features[1, :, 1:3, 0].mean(-1)
    wanted = predictor.class_embed(predictor.pooled_norm(predictor.pooled_embed(pooled)))
    found = predictor.segment_logits(features, masks)
    assert torch.allclose(found, wanted[None], atol=1e-5)
    assert predictor.segment_logits(features[:1], masks[:1]).shape == (0, len(wanted))


def test_masks_between_layers_are_small_outside_training(
    make_model: Callable, make_batch: Callable, seed: int
) -> None:
    """They are made at the size at which they are looked at: the same but for rounding."""
    model = make_model("pretrain", {"MODEL.SEGMENTER.DECODER_LAYERS": 4}).eval()
    decoder = model.sem_seg_head["predictor"]
    with torch.no_grad():
        features = model.backbone(model.preprocess(make_batch([0], [2]))[0])
        pixels = model.sem_seg_head["pixel_decoder"](features)
        maps, mask_features = pixels.multi_scale, pixels.mask_features
        found = decoder(maps, mask_features)
        wanted = decoder.train()(maps, mask_features)
    for name in ("logits", "masks", "embeddings"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=0, atol=1e-4)
    assert len(found.auxiliary) == len(wanted.auxiliary) > len(maps)
    for i, (small, large) in enumerate(zip(found.auxiliary, wanted.auxiliary, strict=True)):
        size = maps[i % len(maps)].shape[-2:]
        assert small.masks.shape[-2:] == size
        assert large.masks.shape[-2:] == mask_features.shape[-2:]
        resized = F.interpolate(large.masks, size, mode="bilinear", align_corners=False)
        assert torch.equal(visible_pixels(small.masks), visible_pixels(resized))


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("pretrain", PUBLISHED),
        ("pretrain", {}),
        ("PADing", {"MODEL.ZERO_SHOT.BACKBONE_FEATURES": ["res3", "res4"]}),
    ],
)
def test_packed_weights_say_the_same(
    make_model: Callable, make_batch: Callable, seed: int, stage: str, settings: dict
) -> None:
    """Also where the last convolution is applied to queries, and keys are made of several layers'
    weights at once."""
    model = make_model(stage, {**settings, "MODEL.SEGMENTER.DECODER_LAYERS": 5}).eval()
    batch = make_batch([0], [2])
    with torch.no_grad():
        found, _ = model.look(batch)
        with pytorchs_own_layers():
            wanted, _ = model.look(batch)
    for name in ("logits", "masks", "embeddings"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=0, atol=1e-4)


def test_sine_positions() -> None:
    positions = sine_positions(3, 5, 8, torch.device("cpu"))
    assert positions.shape == (8, 3, 5)
    # Rows first, then columns; the first pair of channels turns once over the whole map.
    rows = torch.arange(1, 4) / 3 * 2 * torch.pi
    torch.testing.assert_close(positions[0, :, 0], rows.sin(), atol=1e-5, rtol=0)
    torch.testing.assert_close(positions[1, :, 4], rows.cos(), atol=1e-5, rtol=0)
    columns = torch.arange(1, 6) / 5 * 2 * torch.pi
    torch.testing.assert_close(positions[6, 0], (columns / 100).sin(), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="multiple of 4"):
        sine_positions(3, 5, 6, torch.device("cpu"))


def test_layout_of_levels() -> None:
    maps = [torch.zeros(1, 2, h, w) for h, w in ((2, 3), (4, 6), (8, 12))]
    levels = Levels.of(maps)
    assert levels.shapes.tolist() == [[2, 3], [4, 6], [8, 12]]
    assert levels.starts.tolist() == [0, 6, 30]
    assert cell_centres(2, 2, torch.device("cpu")).tolist() == [
        [0.25, 0.25],
        [0.75, 0.25],
        [0.25, 0.75],
        [0.75, 0.75],
    ]
