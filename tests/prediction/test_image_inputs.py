"""Whatever a person has for an image, as RGB."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pading.errors import InputError
from pading.prediction.image_inputs import as_rgb

SIZE = (5, 7)


@pytest.fixture
def pixels(rng: torch.Generator) -> np.ndarray:
    return torch.randint(256, (*SIZE, 3), generator=rng, dtype=torch.uint8).numpy()


def test_every_form_gives_the_same(pixels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    opaque = np.concatenate((pixels, np.full((*SIZE, 1), 255, np.uint8)), axis=2)
    forms = [
        tmp_path / "photo.png",
        str(tmp_path / "photo.png"),
        Image.open(tmp_path / "photo.png"),
        Image.fromarray(opaque),
        pixels,
        opaque,
        pixels / 255,
        (pixels / 255).astype(np.float32),
        torch.from_numpy(pixels),
        torch.from_numpy(pixels).permute(2, 0, 1),
        torch.from_numpy(pixels).permute(2, 0, 1) / 255,
    ]
    for form in forms:
        found, name = as_rgb(form)
        np.testing.assert_array_equal(found, pixels)
        assert found.dtype == np.uint8
        assert name in ("photo", "image")
    found, _ = as_rgb(np.ascontiguousarray(pixels[..., ::-1]), "BGR")
    np.testing.assert_array_equal(found, pixels)


def test_grey_and_palette_images_become_colours(pixels: np.ndarray) -> None:
    grey = pixels[..., 0]
    wanted = np.repeat(grey[..., None], 3, axis=2)
    for form in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None]):
        np.testing.assert_array_equal(as_rgb(form)[0], wanted)
    np.testing.assert_array_equal(as_rgb(Image.fromarray(grey))[0], wanted)
    palette = Image.fromarray(grey).convert("P")
    np.testing.assert_array_equal(as_rgb(palette)[0], wanted)


def test_a_photograph_is_turned_upright(pixels: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turn by a quarter
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert as_rgb(tmp_path / "turned.png")[0].shape == (SIZE[1], SIZE[0], 3)
    assert as_rgb(Image.open(tmp_path / "turned.png"))[0].shape == (SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros(0), "not 0"),
        (np.zeros((2, 4, 4, 3), np.uint8), "not 2 x 4 x 4 x 3; transpose it, or give one image"),
        (np.zeros((3, 9, 8), np.uint8), "not 3 x 9 x 8"),
        (np.full((4, 4, 3), 128.0), "reaches from 128 to 128; divide it by its range"),
        (np.full((4, 4, 3), -0.5), "reaches from -0.5"),
        (np.full((4, 4, 3), np.nan), "divide it by its range"),
        (np.zeros((4, 4, 3), np.int64), "not int64"),
        ("none.png", "there is no such file"),
    ],
)
def test_what_has_no_one_meaning_is_refused(wrong, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_rgb(wrong)


def test_an_unknown_order_of_channels() -> None:
    with pytest.raises(InputError, match="channels is 'GBR'"):
        as_rgb(np.zeros((4, 4, 3), np.uint8), "GBR")
