"""Images as cameras, scanners and other tools write them."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from pading.data.images import check_image, read_image, upright_rgb
from pading.errors import InputError


def _tiff_of_12_bits(values: np.ndarray) -> bytes:
    """Two grey values in three bytes, as microscopes and scanners write them."""
    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = b"".join(int(a << 12 | b).to_bytes(3, "big") for a, b in pairs)
    height, width = values.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    tags[279] = len(packed)
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory


def test_the_upper_8_of_12_bits(tmp_path: Path) -> None:
    values = np.array([[0, 15, 16, 4095], [255, 256, 2048, 4080]])
    path = tmp_path / "scan.tif"
    path.write_bytes(_tiff_of_12_bits(values))
    assert check_image(str(path)) == (2, 4)
    np.testing.assert_array_equal(read_image(str(path))[..., 1], values >> 4)


def test_the_first_of_several_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = (Image.new("RGB", (4, 2), colour) for colour in ("red", "blue"))
    path = str(tmp_path / "moving.gif")
    first.save(path, save_all=True, append_images=[second])
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]
    check_image(path)
    [record] = caplog.records
    assert record.getMessage() == f"{path}: holds several pictures; the first is taken"


@pytest.mark.skipif(not features.check("avif"), reason="a Pillow without AVIF")
def test_avif(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.avif", quality=100)
    assert read_image(str(tmp_path / "a.avif")).shape == (6, 8, 3)


def test_heic(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.heic")
    assert read_image(str(tmp_path / "a.heic")).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("start", "remedy"),
    [
        (b"\0\0\0\x18ftypheic\0\0", "a.jpg: .*pip install pading.heic|cannot read"),
        (b"\xff\xd8\xff\xe0\0\x10", "a.jpg: cannot read this image .a JPEG of more than 8 bits"),
        (b"<html>", "a.jpg: cannot read this image .no format that Pillow reads"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, start: bytes, remedy: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(start + bytes(20))
    for read in (read_image, check_image):
        with pytest.raises(InputError, match=remedy):
            read(str(path))


def test_a_damaged_image_of_pillow(tmp_path: Path, seed: int) -> None:
    png = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(png, "PNG")
    image = Image.open(io.BytesIO(png.getvalue()[:2000]))
    with pytest.raises(InputError, match="photo: cannot read this image"):
        upright_rgb(image, "photo")
