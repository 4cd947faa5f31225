"""Photographs that strangers send: limited, and decoded safely."""

import contextlib
import os
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from pading.data.images import read_image
from pading.errors import InputError

MOST_BYTES = 30_000_000
MOST_PIXELS = 50_000_000
LONGER_SIDE = 1600
"""Larger photographs are looked at in this size."""
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def read_upload(path: str | Path, name: str) -> np.ndarray:
    """H x W x 3 uint8, RGB, upright, at most :data:`LONGER_SIDE` pixels wide and high.

    Nothing is decoded before the header has said how large it will be.

    Args:
        path: the file.
        name: what its owner calls it.

    Raises:
        InputError: no image, one of a rare format, or too many pixels.
    """
    width, height = _size(path, name)
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{name}: {width} x {height} pixels are too many; scale it down to "
            f"{MOST_PIXELS // 1_000_000} million"
        )
    try:
        pixels = read_image(str(path))
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from error
    longer = max(pixels.shape[:2])
    if longer <= LONGER_SIDE:
        return pixels
    wanted = [max(1, round(side * LONGER_SIDE / longer)) for side in pixels.shape[1::-1]]
    shrunk = Image.fromarray(pixels).resize((wanted[0], wanted[1]), Image.Resampling.LANCZOS)
    return np.asarray(shrunk)


class Uploads:
    """Whose files are kept: each goes when the last visit that used it has ended.

    Gradio names a file by its content, so that visitors who send the same one share it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, dict[str, int]] = {}  # visit -> file -> time of its writing

    def used(self, visit: str, path: str) -> None:
        """A visit looks at a file, which is there."""
        with contextlib.suppress(FileNotFoundError), self._lock:
            self._of.setdefault(visit, {})[path] = os.stat(path).st_mtime_ns

    def ended(self, visit: str) -> None:
        """Remove the files that no other visit uses or has sent again since."""
        with self._lock:
            for path, written in self._of.pop(visit, {}).items():
                if any(path in others for others in self._of.values()):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if os.stat(path).st_mtime_ns == written:
                        os.unlink(path)


def _size(path: str | Path, name: str) -> tuple[int, int]:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            return image.size
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: it has far too many pixels; scale it down") from error
    except (OSError, ValueError, SyntaxError, TypeError) as error:
        raise InputError(
            f"{name}: this is no image that can be read here; give a JPEG, PNG, WebP, TIFF, GIF or "
            "BMP file"
        ) from error
