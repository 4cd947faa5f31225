import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import transforms as T

from pading.config import add_pading_config
from pading.data.augmentations import (
    MixedCrop,
    PadTo,
    PhotometricDistortion,
    ResizeToFit,
    build_augmentations,
    packed,
    unpacked,
)
from pading.data.masks import IGNORE_LABEL
from pading.errors import InputError
from pading.randomness import Stream, seed_everything


@pytest.fixture(autouse=True)
def _seeded(seed: int) -> None:
    seed_everything(seed, Stream.AUGMENTATION)


@pytest.mark.parametrize("largest", [253, 255, 1000, 65533])
def test_labels_survive_packing(largest: int) -> None:
    labels = np.array([[0, 1, largest], [IGNORE_LABEL, 2, 254]], dtype=np.uint16)
    values = packed(labels)
    assert values.dtype == np.uint8
    assert values.ndim == (2 if largest < 255 else 3)
    assert np.array_equal(unpacked(values), labels)


@pytest.mark.parametrize(
    ("base", "longer", "shorter"), [((2048, 512), 1024, 512), ((520, 520), 520, 260)]
)
def test_size_of_the_base(base: tuple[int, int], longer: int, shorter: int) -> None:
    transform = ResizeToFit((1, 1), base).get_transform(np.zeros((100, 50, 3), np.uint8))
    assert (transform.new_h, transform.new_w) == (longer, shorter)


def test_scale_stays_in_its_range() -> None:
    aug = ResizeToFit((0.5, 2), (520, 520))
    longer = [aug.get_transform(np.zeros((100, 50, 3), np.uint8)).new_h for _ in range(100)]
    assert 260 <= min(longer) < 500 < 700 < max(longer) <= 1040


def test_crops_mix_classes() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[:, 32:] = 1
    labels[:8] = 255
    crop, image = MixedCrop((32, 32), 0.75), np.zeros((64, 64, 3), np.uint8)
    mixed = 0
    for _ in range(50):
        found = crop.get_transform(image, labels).apply_segmentation(labels)
        counts = np.bincount(found[found != 255], minlength=2)
        mixed += counts.max() < 0.75 * counts.sum()
    assert mixed > 45  # about half of all crops are mixed, so ten tries nearly always find one
    with pytest.raises(InputError, match="MAX_CLASS_SHARE: instance annotations"):
        crop.get_transform(image, None)


def test_padding_is_black_and_ignored() -> None:
    image = T.AugInput(np.full((3, 4, 3), 9, np.uint8), sem_seg=np.ones((3, 4), np.uint8))
    transform = PadTo((5, 4))(image)
    assert image.image.shape == (5, 4, 3)
    assert not image.image[3:].any()
    assert (image.sem_seg[3:] == 255).all()
    wide = transform.apply_segmentation(packed(np.full((3, 4), 300, np.uint16)))
    assert (unpacked(wide)[3:] == IGNORE_LABEL).all()


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_distortion_changes_colours_alone(order: str, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    aug = PhotometricDistortion(order)
    changed = [aug.get_transform(image).apply_image(image) for _ in range(20)]
    assert all(c.shape == image.shape and c.dtype == np.uint8 for c in changed)
    assert any(not np.array_equal(c, image) for c in changed)
    labels = image[..., 0]
    assert np.array_equal(aug.get_transform(image).apply_segmentation(labels), labels)


def test_hue_turns_the_circle() -> None:
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 200
    green = PhotometricDistortion("RGB")._in_hsv(red, 1, 1 / 3)[0, 0]
    assert green.argmax() == 1
    assert green[1] == 200
    assert green[0] <= 5
    blue_first = PhotometricDistortion("BGR")._in_hsv(red[..., ::-1], 1, 1 / 3)[0, 0]
    assert np.array_equal(blue_first, green[::-1])


@pytest.mark.parametrize(
    ("key", "value"), [("CROP_SIZE", (0, 4)), ("BASE_SIZE", (4,)), ("MAX_CLASS_SHARE", 0.0)]
)
def test_bad_settings_are_named(key: str, value: object) -> None:
    cfg = get_cfg()
    add_pading_config(cfg)
    cfg.INPUT.AUGMENTATION = "semantic"
    cfg.INPUT[key] = value
    with pytest.raises(InputError, match=f"INPUT.{key}"):
        build_augmentations(cfg, is_train=True)
