"""From a photograph to what a network takes: resized, normalised, padded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

_MOST_PIXELS = 4_000_000  # of a result; those of larger images are enlarged


class Sizes(NamedTuple):
    """As (height, width)."""

    padded: tuple[int, int]
    """Of the network's input."""
    image: tuple[int, int]
    """Of the image in it, from its upper left corner."""
    wanted: tuple[int, int]
    """At which results are wanted."""


@dataclass(frozen=True)
class Pixels:
    """How images are prepared; can be sent to another process.

    Args:
        settings: see :class:`~pading.runtime.description.Description`.
    """

    settings: Mapping[str, Any]

    def __call__(self, image: np.ndarray) -> dict[str, Any]:
        """An image at the size at which the network looks at it.

        Args:
            image: H x W x 3 uint8, RGB.

        Returns:
            ``image`` (3, h, w) float32, normalised; ``height`` and ``width`` that are wanted.
        """
        height, width = image.shape[:2]
        shrink = min(1.0, (_MOST_PIXELS / (height * width)) ** 0.5)
        size = self.looked_at(height, width)
        if size != (height, width):
            picture = Image.fromarray(image)
            image = np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))
        if self.settings["format"] == "BGR":
            image = image[..., ::-1]
        mean, std = (np.float32(self.settings[key]) for key in ("mean", "std"))
        pixels = (image.astype(np.float32) - mean) / std
        return {
            "image": np.ascontiguousarray(pixels.transpose(2, 0, 1)),
            "height": max(1, round(height * shrink)),
            "width": max(1, round(width * shrink)),
        }

    def looked_at(self, height: int, width: int) -> tuple[int, int]:
        """The shorter side becomes ``min_size``, the longer at most ``max_size``.

        Where the graph has a fixed size, what is larger is scaled down to fit.
        """
        shorter, longest = self.settings["min_size"], self.settings["max_size"]
        rows, columns = float(height), float(width)
        if shorter:
            scale = shorter / min(height, width)
            rows, columns = (
                (float(shorter), scale * width)
                if height < width
                else (scale * height, float(shorter))
            )
            if max(rows, columns) > longest:
                scale = longest / max(rows, columns)
                rows, columns = rows * scale, columns * scale
        fixed = self.settings["size"]
        if fixed and (int(rows + 0.5) > fixed[0] or int(columns + 0.5) > fixed[1]):
            scale = min(fixed[0] / rows, fixed[1] / columns)
            rows, columns = rows * scale, columns * scale
        return max(1, int(rows + 0.5)), max(1, int(columns + 0.5))


def padded_to(image: np.ndarray, divisor: int, size: Sequence[int] | None = None) -> np.ndarray:
    """(..., h, w) padded with 0, the mean colour, right and below.

    Args:
        image: normalised.
        divisor: of height and width.
        size: height and width; None: the next multiples of the divisor.
    """
    height, width = image.shape[-2:]
    below, right = (
        (size[0] - height, size[1] - width) if size else (-height % divisor, -width % divisor)
    )
    if not (below or right):
        return image
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + [(0, below), (0, right)])
