"""Label maps and panoptic PNGs: what is stored is read, or the file is refused by name."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pading.data.images import read_label_map, read_panoptic_png
from pading.errors import InputError

_SIZE = (7, 9)  # no multiple of the pixels of a byte


def write_grey_png(path: Path, values: np.ndarray, bits: int) -> None:
    """A grey PNG of so many bits per pixel, which Pillow reads but does not write."""
    header = struct.pack(">IIBBBBB", *values.shape[::-1], bits, 0, 0, 0, 0)
    rows = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :]
    lines = [b"\0" + np.packbits(row.reshape(-1)).tobytes() for row in rows]
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b""))
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_of_few_bits_is_read_as_values(bits: int, seed: int, tmp_path: Path) -> None:
    values = np.random.default_rng(seed).integers(0, 2**bits, _SIZE, dtype=np.uint8)
    path = tmp_path / "map.png"
    write_grey_png(path, values, bits)
    found = read_label_map(str(path))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_are_read_as_places(bits: int, seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 2**bits, _SIZE, dtype=np.uint8)
    image = Image.fromarray(values, mode="P")
    image.putpalette(generator.integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(tmp_path / "map.png", bits=bits)
    np.testing.assert_array_equal(read_label_map(str(tmp_path / "map.png")), values)


def test_16_bits(seed: int, tmp_path: Path) -> None:
    values = np.random.default_rng(seed).integers(0, 2**16, _SIZE, dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "map.png")
    np.testing.assert_array_equal(read_label_map(str(tmp_path / "map.png")), values)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_labels_are_png_whatever_the_name(kind: str, tmp_path: Path) -> None:
    for mode, read in (("L", read_label_map), ("RGB", read_panoptic_png)):
        path = tmp_path / f"{mode}.png"
        Image.new(mode, _SIZE).save(path, format=kind)
        with pytest.raises(InputError, match=rf"{mode}.png: is a {kind} file.* as a PNG"):
            read(str(path))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_label_maps_have_one_channel(mode: str, tmp_path: Path) -> None:
    Image.new(mode, _SIZE).save(tmp_path / "map.png")
    with pytest.raises(InputError, match=rf"map.png: .*this image is {mode}; save it as a grey"):
        read_label_map(str(tmp_path / "map.png"))


def test_transparency_leaves_segments_as_they_are(seed: int, tmp_path: Path) -> None:
    colours = np.random.default_rng(seed).integers(0, 256, (*_SIZE, 4), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "segments.png")
    found = read_panoptic_png(str(tmp_path / "segments.png"))
    np.testing.assert_array_equal(found, colours[..., :3])
    Image.fromarray(colours).quantize().save(tmp_path / "segments.png")
    with pytest.raises(InputError, match=r"segments.png: .*the mode of this image is P"):
        read_panoptic_png(str(tmp_path / "segments.png"))
