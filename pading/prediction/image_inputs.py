"""Whatever a person has for an image, as the one form that is predicted on."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Union

import numpy as np
from PIL import Image

from pading.data.images import read_image, upright_rgb
from pading.errors import InputError

if TYPE_CHECKING:  # an exported model predicts without PyTorch
    from torch import Tensor

Channels = Literal["RGB", "BGR"]
ImageLike = Union[str, os.PathLike[str], Image.Image, np.ndarray, "Tensor"]


def as_rgb(image: ImageLike, channels: Channels = "RGB") -> tuple[np.ndarray, str]:
    """An image as (H, W, 3) uint8, RGB, and its name.

    Files and PIL images are turned upright as their EXIF orientation says; grey and palette images
    become colours; transparency is left out.

    Args:
        image: a path, a PIL image, an array (H, W), (H, W, 3) or (H, W, 4), or a tensor (3, H, W),
            (1, H, W) or like an array. Numbers are uint8, or floating point in [0, 1].
        channels: order of the colours of an array or tensor: "RGB" or "BGR".

    Raises:
        InputError: a file that cannot be read; another shape, type or range.
    """
    if channels not in ("RGB", "BGR"):
        raise InputError(f"channels is {channels!r}; use 'RGB' or 'BGR'")
    if isinstance(image, (str, os.PathLike)):
        return read_image(os.fspath(image)), Path(image).stem
    if isinstance(image, Image.Image):
        name = Path(str(getattr(image, "filename", "") or "image")).stem
        return upright_rgb(image, name), name
    if hasattr(image, "detach"):  # a tensor
        image = image.detach().cpu().numpy()
        if image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.shape[2] not in (3, 4):
            image = image.transpose(1, 2, 0)
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or not pixels.size:
        raise InputError(
            f"an image is (H, W), (H, W, 3) or (H, W, 4), or a tensor (3, H, W), not "
            f"{' x '.join(map(str, pixels.shape))}; transpose it, or give one image at a time"
        )
    pixels = _as_uint8(pixels[..., :3])
    return np.ascontiguousarray(pixels if channels == "RGB" else pixels[..., ::-1]), "image"


def _as_uint8(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())
        if low >= 0 and high <= 1:
            return (pixels * 255).round().astype(np.uint8)
        raise InputError(
            f"an image of {pixels.dtype} is in [0, 1], but this one reaches from {low:.4g} to "
            f"{high:.4g}; divide it by its range, or give uint8"
        )
    raise InputError(f"an image is uint8, or floating point in [0, 1], not {pixels.dtype}")
