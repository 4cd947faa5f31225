"""A segment map drawn on its image: colours, hatching, borders and labels."""

import colorsys
import math

import numpy as np
from PIL import Image
from scipy import ndimage

from pading.visualize.labels import UNSEEN_COLOUR, draw_labels
from pading.visualize.segments import SegmentMap
from pading.vocabulary.splits import ClassSplit

VOID_COLOUR = (95, 95, 95)
_OPACITY, _HATCH_OPACITY = 0.55, 0.8
# Pictures whose shorter side is below this many pixels have no room for labels...
_SMALL = 320
# ...and are enlarged to at least this many.
_LEGIBLE = 480
# ...unless the longer one would be above this: 2 x 3000 would be enlarged 240 times.
_LONGEST = 8000


def enlargement(height: int, width: int) -> int:
    """The whole factor by which a small image is enlarged to make room for labels; 1 for others.

    The longer side of a thin one becomes no longer than 8000 pixels by it.
    """
    shorter, longer = sorted((height, width))
    if shorter >= _SMALL:
        return 1
    return max(1, min(math.ceil(_LEGIBLE / shorter), _LONGEST // longer))


def draw_segments(
    image: np.ndarray, result: SegmentMap, split: ClassSplit, scale: float = 1.0
) -> np.ndarray:
    """Draw segments, their borders and labels on an image.

    A class has the same colour in every picture of a split. Unseen classes are hatched, have a
    yellow border and a yellow label with a star; what is unlabelled is darkened.

    Args:
        image: H x W x 3, uint8, RGB.
        result: its ``ids`` are H x W.
        split: names the classes and says which are unseen.
        scale: factor by which the picture is enlarged before it is drawn on.

    Returns:
        round(H scale) x round(W scale) x 3, each at least 1, uint8, RGB.
    """
    picture = resize(image, scale)
    height, width = picture.shape[:2]
    size = (width, height)
    ids = np.asarray(
        Image.fromarray(result.ids.astype(np.int32)).resize(size, Image.Resampling.NEAREST)
    )
    # Place of each pixel's segment in the list, from 1; 0 is unlabelled.
    places = np.zeros(ids.shape, dtype=np.int32)
    colours = np.zeros((len(result.segments) + 1, 3), dtype=np.float32)
    colours[0] = VOID_COLOUR
    is_unseen = np.zeros(len(result.segments) + 1, dtype=bool)
    instances: dict[int, int] = {}
    for place, segment in enumerate(result.segments, start=1):
        places[ids == segment["id"]] = place
        label = segment["category_id"]
        instances[label] = instances.get(label, -1) + 1
        colours[place] = class_colour(label, instances[label])
        is_unseen[place] = split.classes[label].unseen
    unseen = is_unseen[places]

    # On a grey picture a colour means the class and nothing else.
    grey = picture.mean(axis=2, keepdims=True, dtype=np.float32)
    line = max(1, round(min(size) / 350))
    drawn = grey * (1 - _OPACITY) + colours[places] * _OPACITY
    edges = _edges(places, line)
    drawn[edges] = (255, 255, 255)
    if unseen.any():
        diagonal = np.add.outer(np.arange(height), np.arange(width))
        hatched = unseen & (diagonal % (14 * line) < 2 * line) & ~edges
        yellow = np.array(UNSEEN_COLOUR, dtype=np.float32)
        drawn[hatched] = grey[hatched] * (1 - _HATCH_OPACITY) + yellow * _HATCH_OPACITY
        # On its own side, or a seen neighbour would look unseen too.
        drawn[unseen & ndimage.binary_dilation(edges, iterations=line)] = UNSEEN_COLOUR
    canvas = Image.fromarray(drawn.round().astype(np.uint8))
    draw_labels(canvas, places, result.segments, split)
    return np.asarray(canvas)


def class_colour(index: int, instance: int = 0) -> tuple[int, int, int]:
    """RGB of a class, unlike that of its neighbours in the split; instances vary in lightness."""
    hue = (index * 0.618034 + 0.55) % 1.0
    lightness = (0.5, 0.62, 0.4, 0.7, 0.33)[instance % 5]
    saturation = (0.75, 0.55, 0.95)[index % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """H x W x 3 uint8, enlarged by ``scale``."""
    if scale == 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _edges(places: np.ndarray, width: int) -> np.ndarray:
    """Where two segments meet, ``width`` pixels wide."""
    edges = np.zeros(places.shape, dtype=bool)
    edges[:, 1:] |= places[:, 1:] != places[:, :-1]
    edges[1:] |= places[1:] != places[:-1]
    return ndimage.binary_dilation(edges, iterations=width - 1) if width > 1 else edges
