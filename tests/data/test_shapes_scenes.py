"""pading.data.shapes.scenes: what scenes promise."""

import numpy as np
import pytest

from pading.data.shapes.scenes import (
    COLOURS,
    MIN_VISIBLE_OF_IMAGE,
    OBJECTS,
    REGIONS,
    SHAPE_REACH,
    SHAPES,
    Look,
    draw_scene,
    parse_look,
)
from pading.errors import InputError
from pading.vocabulary.splits import ClassInfo, load_split

SPLIT = load_split("shapes")
LOOKS = {label: parse_look(info) for label, info in enumerate(SPLIT.classes)}


def _grid(reach: float, steps: int = 201) -> list[np.ndarray]:
    side = np.linspace(-reach, reach, steps, dtype=np.float32)
    return np.meshgrid(side, side)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fit_their_reach_and_are_not_small(shape: str) -> None:
    u, v = _grid(2)
    mask = SHAPES[shape](u, v)
    assert np.hypot(u, v)[mask].max() <= SHAPE_REACH
    assert mask[:, ::-1][mask].mean() > 0.99  # symmetric, so a mirrored image keeps its class
    area = mask.mean() * 16
    assert 1 < area < 3.2


def test_shapes_differ() -> None:
    u, v = _grid(SHAPE_REACH)
    masks = {name: shape(u, v) for name, shape in SHAPES.items()}
    for name, mask in masks.items():
        for other, other_mask in masks.items():
            overlap = (mask & other_mask).sum() / (mask | other_mask).sum()
            assert name == other or overlap < 0.8, (name, other, overlap)


def test_scene_is_covered_by_its_segments(seed: int) -> None:
    for size in (64, 128):
        rng = np.random.default_rng([seed, size])
        scene = draw_scene(rng, LOOKS, size)
        assert scene.image.shape == (size, size, 3) and scene.image.dtype == np.uint8
        areas = np.bincount(scene.segments.ravel(), minlength=len(scene.labels))
        assert len(areas) == len(scene.labels)
        assert areas.min() >= MIN_VISIBLE_OF_IMAGE * size**2


def test_scenes_have_regions_and_objects(seed: int) -> None:
    scenes = [draw_scene(np.random.default_rng([seed, i]), LOOKS, 64) for i in range(40)]
    stuff = [[label for label in s.labels if label in SPLIT.stuff] for s in scenes]
    things = [[label for label in s.labels if label in SPLIT.things] for s in scenes]
    assert {len(labels) for labels in stuff} == set(range(REGIONS[0], REGIONS[1] + 1))
    assert all(len(set(labels)) == len(labels) for labels in stuff)
    assert max(len(labels) for labels in things) <= OBJECTS[1]
    assert np.mean([len(labels) for labels in things]) > 3


def test_objects_overlap_sometimes(seed: int) -> None:
    """Objects share borders, which they would not if they were kept apart."""
    covered = 0
    for i in range(20):
        scene = draw_scene(np.random.default_rng([seed, i]), LOOKS, 64)
        things = [k for k, label in enumerate(scene.labels) if label in SPLIT.things]
        for k in things:
            grown = scene.segments == k
            grown[1:] |= grown[:-1].copy()
            covered += bool(np.isin(scene.segments[grown], [o for o in things if o != k]).any())
    assert covered > 3


def test_masks_agree_with_the_picture(seed: int) -> None:
    """Inside every object the mean colour is nearest to the colour that its class names."""
    names = list(COLOURS)
    palette = np.array([COLOURS[name] for name in names], float)
    palette /= np.linalg.norm(palette, axis=1, keepdims=True)
    wrong = total = 0
    for i in range(30):
        scene = draw_scene(np.random.default_rng([seed, i]), LOOKS, 128)
        for k, label in enumerate(scene.labels):
            mean = scene.image[scene.segments == k].mean(axis=0)
            total += 1
            wrong += names[int((palette @ mean).argmax())] != LOOKS[label].colour
    assert wrong == 0, f"{wrong} of {total}"


def test_an_object_differs_from_what_surrounds_it(seed: int) -> None:
    """Moving a mask aside must fit the picture worse: the mask is where the object is."""
    scene = draw_scene(np.random.default_rng(seed), LOOKS, 128)
    index = len(scene.labels) - 1  # the topmost object is whole
    mask = scene.segments == index
    pixels = scene.image.astype(float).sum(axis=2)
    chroma = scene.image.astype(float) / (pixels[..., None] + 1)
    mean = chroma[mask].mean(axis=0)
    distance = np.abs(chroma - mean).sum(axis=2)
    inside = distance[mask].mean()
    for shift in ((0, 8), (0, -8), (8, 0), (-8, 0)):
        assert inside < distance[np.roll(mask, shift, (0, 1))].mean()


def test_parse_look() -> None:
    assert parse_look(ClassInfo(1, "red circle", True, False)) == Look("red", "circle", True)
    assert parse_look(ClassInfo(1, "blue dots", False, True)).rgb == COLOURS["blue"]


@pytest.mark.parametrize(
    ("name", "isthing"),
    [
        ("red dots", True),
        ("red circle", False),
        ("pink circle", True),
        ("circle", True),
        ("", True),
    ],
)
def test_a_class_that_cannot_be_drawn(name: str, isthing: bool) -> None:
    with pytest.raises(InputError, match=f"{name!r}.*red, green"):
        parse_look(ClassInfo(1, name, isthing, False))
