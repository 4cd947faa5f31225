"""Reading of images and label maps, with errors that name the file."""

import functools
import logging
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pading.errors import InputError
from pading.files import look_alike

try:
    import pillow_heif
except ImportError:  # the extra "heic"
    pass
else:
    pillow_heif.register_heif_opener()

_logger = logging.getLogger(__name__)
PLUGINS = {
    ".heic": "pip install pading[heic]",
    ".heif": "pip install pading[heic]",
    ".avif": "pip install pillow-avif-plugin, or a Pillow that is built with AVIF",
}
"""Endings of images that not every Pillow reads -> what makes it."""
# What such files begin with, from the fifth byte.
_BRANDS = {
    b"ftyp" + brand: ending
    for ending, brands in {
        ".heic": (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"),
        ".avif": (b"avif", b"avis"),
    }.items()
    for brand in brands
}
_EXIF_ORIENTATION = ExifTags.Base.Orientation
_EXIF_SWAPS_SIDES = (5, 6, 7, 8)
_BITS_PER_SAMPLE = 258
# What Pillow raises on files that are no image, cut short or damaged.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)
# How often Pillow's decoder multiplies grey values of fewer than 8 bits, by its raw mode.
_GREY_FACTORS = {"L;2": 85, "L;4": 17}
# Values that Pillow would cut off at 255 rather than scale.
_MODES_OF_16_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_MODES_WITHOUT_RANGE = ("I", "F")


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """An image; what goes wrong inside the block is an InputError that names the file."""
    try:
        # A pipe would be waited for without end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path}: no regular file; put the image itself there", "missing")
    except FileNotFoundError as error:
        remedy = look_alike(path) or "complete the folder"
        raise InputError(f"{path}: there is no such file; {remedy}", "missing") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot read this file ({error})", "corrupt") from error
    with _naming(path), Image.open(path) as image:
        yield image


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: {_unidentified(path)}", "corrupt") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: {error}; scale this image down", "corrupt") from error
    except _UNREADABLE as error:
        raise InputError(
            f"{path}: cannot read this image ({error}); fetch or make the file again", "corrupt"
        ) from error


def _unidentified(path: str) -> str:
    with open(path, "rb") as file:
        start = file.read(12)
    ending = _BRANDS.get(start[4:], "")
    if ending:
        return f"is {ending[1:].upper()}, which this Pillow does not read; {PLUGINS[ending]}"
    if start.startswith(b"\xff\xd8"):
        return (
            "cannot read this image (a JPEG of more than 8 bits, or damaged); save it with 8 bits"
        )
    return "cannot read this image (no format that Pillow reads); fetch or make the file again"


def read_image(path: str, image_format: str = "RGB") -> np.ndarray:
    """H x W x 3 uint8, turned upright as its EXIF orientation says.

    Grey, palette and CMYK images become colours, transparency is left out, of 12 and 16 bits the
    upper 8 count, and of several pictures (an animation, pages) the first, with a warning.

    Args:
        path: any image that Pillow reads.
        image_format: "RGB" or "BGR".

    Raises:
        InputError: missing, damaged or no image, or one whose values have no fixed range.
    """
    with _opened(path) as image:
        pixels = upright_rgb(image, path)
    return pixels if image_format == "RGB" else pixels[..., ::-1]


def upright_rgb(image: Image.Image, name: str) -> np.ndarray:
    """A PIL image as :func:`read_image` gives it, in RGB.

    Args:
        image: any mode.
        name: for the message.

    Raises:
        InputError: damaged, or its values have no fixed range.
    """
    _require_range(name, image)
    _warn_of_others(name, image)
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())  # of a TIFF
    with _naming(name):
        image = ImageOps.exif_transpose(image)
        if image.mode in _MODES_OF_16_BITS:
            grey = np.asarray(image) >> (4 if tuple(bits) == (12,) else 8)
            return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
        return np.asarray(image.convert("RGB"))


def _warn_of_others(name: str, image: Image.Image) -> None:
    # MPO is a camera's JPEG, which carries previews of itself.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        _warn_once("%s: holds several pictures; the first is taken", name)


@functools.cache
def _warn_once(message: str, name: str) -> None:
    _logger.warning(message, name)


def exif_orientation(path: str) -> int:
    """How an image is to be turned, 1 to 8 as EXIF has it; 1: it stands upright.

    Raises:
        InputError: missing, or no image.
    """
    with _opened(path) as image:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    return int(orientation) if orientation in range(1, 9) else 1


def read_unturned(path: str) -> np.ndarray:
    """H x W x 3 uint8, as :func:`read_image`, but as it is stored.

    Raises:
        InputError: what :func:`read_image` refuses.
    """
    with _opened(path) as image, _naming(path):
        return np.asarray(image.convert("RGB"))


def _require_range(path: str, image: Image.Image) -> None:
    if image.mode in _MODES_WITHOUT_RANGE:
        raise InputError(
            f"{path}: an image of 32 bits per pixel (mode {image.mode}), whose range is not known; "
            "save it with 8 or 16 bits",
            "corrupt",
        )


def read_panoptic_png(path: str) -> np.ndarray:
    """The colours of a COCO panoptic PNG, H x W x 3 uint8 (``segment_ids`` decodes them).

    Raises:
        InputError: missing or damaged, no PNG, or not of three colour channels of 8 bits.
    """
    with _opened(path) as image:
        _require_png(path, image)
        if image.mode not in ("RGB", "RGBA"):  # transparency leaves the colours as they are
            raise InputError(
                f"{path}: a panoptic PNG codes segment ids as R + 256 G + 256^2 B, "
                f"but the mode of this image is {image.mode}",
                "corrupt",
            )
        return np.asarray(image)[..., :3]


def read_label_map(path: str) -> np.ndarray:
    """A semantic label map, H x W uint8 or uint16: the values that the file stores.

    Grey PNGs of 1, 2 and 4 bits hold values rather than shades, those with a palette its places.

    Raises:
        InputError: missing or damaged, no PNG, or not an image of one channel.
    """
    with _opened(path) as image:
        _require_png(path, image)
        tiles = getattr(image, "tile", ())  # how the decoder is going to read the file
        raw_mode = tiles[0].args if tiles else None
        if image.mode in _MODES_OF_16_BITS:
            return np.asarray(image).astype(np.uint16)
        if image.mode not in ("1", "L", "P"):
            raise InputError(
                f"{path}: a label map has one channel of up to 16 bits (class ids or indices; 255 "
                f"or, of 16 bits, 65535 for ignore), but the mode of this image is {image.mode}; "
                "save it as a grey PNG",
                "corrupt",
            )
        return np.asarray(image).astype(np.uint8) // _GREY_FACTORS.get(str(raw_mode), 1)


def _require_png(path: str, image: Image.Image) -> None:
    """Labels survive no lossy format, and other lossless ones have several ways of holding them."""
    if image.format != "PNG":
        raise InputError(
            f"{path}: is a {image.format} file, whatever its name; labels must be exact, so make "
            "this file again as a PNG",
            "corrupt",
        )


def segment_ids(colours: np.ndarray) -> np.ndarray:
    """Segment ids, H x W, of a panoptic PNG's colours; 0 is unlabelled."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red + 256 * green + 65536 * blue


def require_size(path: str, found: tuple[int, int], wanted: tuple[int, int], source: str) -> None:
    """Refuse an image whose (height, width) differs from the wanted one.

    Args:
        path: the image.
        found: its (height, width).
        wanted: the (height, width) that ``source`` gives it.
        source: what states the wanted size, such as the annotation file.

    Raises:
        InputError: they differ.
    """
    if found != wanted:
        turned = (
            " (annotations are of the image turned upright, as its EXIF orientation says)"
            if found == wanted[::-1]
            else ""
        )
        raise InputError(
            f"{path}: height x width is {found[0]} x {found[1]}, "
            f"but {wanted[0]} x {wanted[1]} in {source}; one of the two is wrong{turned}"
        )


def check_image(path: str) -> tuple[int, int]:
    """Decode an image as cheaply as its format allows; its (height, width) once upright.

    JPEG is decoded at an eighth of its size, which still reads every byte of it.

    Raises:
        InputError: what :func:`read_image` refuses.
    """
    with _opened(path) as image:
        _require_range(path, image)
        _warn_of_others(path, image)
        width, height = image.size
        swapped = image.getexif().get(_EXIF_ORIENTATION) in _EXIF_SWAPS_SIDES
        image.draft(None, (width // 8, height // 8))
        image.load()
    return (width, height) if swapped else (height, width)


def image_size(path: str) -> tuple[int, int]:
    """The (height, width) of an image once upright, from its header alone.

    Raises:
        InputError: missing, or no image.
    """
    with _opened(path) as image:
        width, height = image.size
        swapped = image.getexif().get(_EXIF_ORIENTATION) in _EXIF_SWAPS_SIDES
    return (width, height) if swapped else (height, width)
