"""Masks of a picture that EXIF turns, drawn before it was turned or after."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from pading.data.orientation import turned_in_secret

_SIDE = 48


@pytest.fixture
def upright(seed: int) -> tuple[Image.Image, np.ndarray]:
    """A picture of a bright object, with some noise, and its panoptic PNG."""
    rng = np.random.default_rng(seed)
    colours = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    colours[..., 0] = 1
    colours[5:20, 8:30, 0] = 2
    picture = 80 + 90 * (colours[..., :1] == 2) + rng.integers(0, 20, colours.shape)
    return Image.fromarray(picture.astype(np.uint8)), colours


def _entry(folder: Path, picture: Image.Image, colours: np.ndarray, orientation: int) -> dict:
    """Saved so that EXIF turns the stored picture upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Of the eight turns, each but two undoes itself.
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    turn = Image.Exif()
    turn[0x0112] = undo
    picture = picture.copy()
    picture.info["exif"] = turn.tobytes()
    ImageOps.exif_transpose(picture).save(folder / "0.png", exif=exif)
    Image.fromarray(colours).save(folder / "labels.png")
    segments = [{"id": i, "category_id": i, "iscrowd": 0} for i in (1, 2)]
    entry: dict[str, Any] = {
        "task": "panoptic",
        "file_name": str(folder / "0.png"),
        "pan_seg_file_name": str(folder / "labels.png"),
        "segments_info": segments,
        "height": _SIDE,
        "width": _SIDE,
    }
    return entry


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_of_the_upright_picture(tmp_path: Path, upright, orientation: int) -> None:
    assert turned_in_secret(_entry(tmp_path, *upright, orientation)) == ""


@pytest.mark.parametrize("orientation", range(2, 9))
def test_masks_of_the_stored_picture(tmp_path: Path, upright, orientation: int) -> None:
    turned = _entry(tmp_path, Image.fromarray(upright[1]), upright[1], orientation)
    stored = np.asarray(Image.open(turned["file_name"]))
    entry = _entry(tmp_path, *upright, orientation)
    Image.fromarray(stored).save(tmp_path / "labels.png")
    said = turned_in_secret(entry)
    assert f"0.png: is turned by EXIF (orientation {orientation}), but its masks fit" in said


def test_a_picture_that_does_not_tell(tmp_path: Path, upright) -> None:
    flat = Image.new("RGB", (_SIDE, _SIDE), "grey")
    said = turned_in_secret(_entry(tmp_path, flat, upright[1], 3))
    assert said.endswith("its masks must be of the picture that stands upright")
