"""Reading of images and label maps, with errors that name the file."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from detectron2.data import detection_utils
from panopticapi.utils import rgb2id
from PIL import ExifTags, Image

from pading.errors import InputError

_EXIF_ORIENTATION = ExifTags.Base.Orientation
# What Pillow raises on files that are no image, cut short, damaged or absurdly large.
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file", "missing") from error
    except _UNREADABLE as error:
        raise InputError(
            f"{path}: cannot read this image ({error}); fetch or make the file again", "corrupt"
        ) from error


def read_image(path: str, image_format: str = "RGB") -> np.ndarray:
    """H x W x 3 uint8, turned upright as its EXIF orientation says.

    Args:
        path: any image that Pillow reads.
        image_format: "RGB" or "BGR".

    Raises:
        InputError: missing, damaged or no image.
    """
    with _naming(path):
        return detection_utils.read_image(path, format=image_format)


def read_panoptic_png(path: str) -> np.ndarray:
    """The colours of a COCO panoptic PNG, H x W x 3 uint8 (``segment_ids`` decodes them).

    Raises:
        InputError: missing or damaged, or not an image of three colour channels of 8 bits.
    """
    with _naming(path), Image.open(path) as image:
        if image.mode != "RGB":
            raise InputError(
                f"{path}: a panoptic PNG codes segment ids as R + 256 G + 256^2 B, "
                f"but the mode of this image is {image.mode}",
                "corrupt",
            )
        return np.asarray(image)


def read_label_map(path: str) -> np.ndarray:
    """A semantic label map, H x W uint8.

    Raises:
        InputError: missing or damaged, or not an image of one channel of 8 bits.
    """
    with _naming(path), Image.open(path) as image:
        if image.mode not in ("L", "P"):
            raise InputError(
                f"{path}: a label map has one channel of 8 bits (class indices, 255 for ignore), "
                f"but the mode of this image is {image.mode}",
                "corrupt",
            )
        return np.asarray(image)


def segment_ids(colours: np.ndarray) -> np.ndarray:
    """Segment ids, H x W, of a panoptic PNG's colours; 0 is unlabelled."""
    return rgb2id(colours).astype(np.int32)


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
        raise InputError(
            f"{path}: height x width is {found[0]} x {found[1]}, "
            f"but {wanted[0]} x {wanted[1]} in {source}; one of the two is wrong"
        )


def check_image(path: str) -> tuple[int, int]:
    """Decode an image as cheaply as its format allows; its (height, width) once upright.

    JPEG is decoded at an eighth of its size, which still reads every byte of it.

    Raises:
        InputError: missing, damaged or no image.
    """
    with _naming(path), Image.open(path) as image:
        width, height = image.size
        swapped = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
        image.draft(None, (width // 8, height // 8))
        image.load()
    return (width, height) if swapped else (height, width)
