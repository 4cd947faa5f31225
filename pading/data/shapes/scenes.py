"""Scenes of the Shapes data set: what a class looks like, and one picture with its exact segments.

A thing is a coloured shape ("red circle"), stuff is a colour and a texture ("green stripes"). The
words of a class's name say all of its looks, so any combination of the tables below can be put in a
split, seen or unseen. Things are bright with a dark rim; stuff is darker and two-toned, so that a
red circle on red stripes stays visible.

Nothing is anti-aliased: the mask that paints a pixel is the mask of its segment.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pading.errors import InputError
from pading.vocabulary.splits import ClassInfo

COLOURS = {
    "red": (225, 45, 45),
    "green": (50, 185, 70),
    "blue": (50, 95, 230),
    "yellow": (245, 215, 50),
    "purple": (165, 65, 205),
    "white": (240, 240, 240),
}

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice]
Point = tuple[float, float]


def _circle(u: Floats, v: Floats) -> Mask:
    return u * u + v * v <= 1


def _square(u: Floats, v: Floats) -> Mask:
    return np.maximum(abs(u), abs(v)) <= 0.82


def _triangle(u: Floats, v: Floats) -> Mask:
    return (v <= 0.65) & (v >= 1.8 * abs(u) - 1)


def _star(u: Floats, v: Floats) -> Mask:
    # A pentagram is where at least four of its five edge lines have the point on their inner side.
    angles = np.pi / 2 + 2 * np.pi / 5 * np.arange(5, dtype=np.float32)
    inner = sum((u * np.cos(a) + v * np.sin(a) <= 0.38).astype(np.int8) for a in angles)
    return inner >= 4


def _cross(u: Floats, v: Floats) -> Mask:
    return (np.maximum(abs(u), abs(v)) <= 0.95) & (np.minimum(abs(u), abs(v)) <= 0.32)


def _heart(u: Floats, v: Floats) -> Mask:
    x, y = 1.2 * u, 0.1 - 1.2 * v
    x2, y2 = x * x, y * y
    inside = x2 + y2 - 1
    return inside * inside * inside <= x2 * y2 * y


# Each takes coordinates whose unit is half the object's size: u to the right, v downwards. None
# reaches farther than SHAPE_REACH from its centre.
SHAPES: dict[str, Callable[[Floats, Floats], Mask]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
}
SHAPE_REACH = 1.25


def _stripes(u: Floats, v: Floats) -> Mask:
    return u % 1 < 0.5


def _dots(u: Floats, v: Floats) -> Mask:
    return (u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.1


def _checks(u: Floats, v: Floats) -> Mask:
    return (u % 1 < 0.5) ^ (v % 1 < 0.5)


# Each takes coordinates whose unit is the texture's period and says where its lighter tone is.
TEXTURES: dict[str, Callable[[Floats, Floats], Mask]] = {
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
}

OBJECTS = (2, 6)
REGIONS = (2, 3)
OBJECT_SIZE = (0.22, 0.46)  # of the image's side
TEXTURE_PERIOD = (0.07, 0.12)  # of the image's side
MIN_REGION = 0.15  # of the image, before objects cover it
# A segment keeps at least this share of itself and of the image, or the covering object is redrawn.
MIN_VISIBLE_OF_ITSELF = 0.5
MIN_VISIBLE_OF_IMAGE = 1 / 256
PLACING_ATTEMPTS = 20
NOISE = 7.0  # standard deviation, in grey levels of 255


@dataclass(frozen=True)
class Look:
    """What a class looks like: a word of COLOURS and one of SHAPES or TEXTURES."""

    colour: str
    form: str
    isthing: bool

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The class's pure colour, 0..255."""
        return COLOURS[self.colour]


@dataclass(frozen=True)
class Scene:
    """One picture and its segments.

    Attributes:
        image: H x W x 3 uint8, RGB.
        segments: H x W int32; pixel value i belongs to ``labels[i]``. Every pixel has a segment,
            and every segment has pixels.
        labels: the class of each segment, as given to :func:`draw_scene`.
    """

    image: NDArray[np.uint8]
    segments: NDArray[np.int32]
    labels: tuple[int, ...]


def parse_look(info: ClassInfo) -> Look:
    """The looks that a class's name describes.

    Raises:
        InputError: the name is not a colour and a shape (things) or texture (stuff) known here.
    """
    forms = SHAPES if info.isthing else TEXTURES
    colour, _, form = info.name.partition(" ")
    if colour not in COLOURS or form not in forms:
        kind = "thing" if info.isthing else "stuff"
        raise InputError(
            f"Shapes cannot draw the {kind} class {info.name!r}: write it as one of "
            f"{', '.join(COLOURS)}, a space and one of {', '.join(forms)}"
        )
    return Look(colour, form, info.isthing)


def draw_scene(rng: np.random.Generator, looks: dict[int, Look], size: int) -> Scene:
    """Draw a random scene: two or three stuff regions and up to six objects that may overlap.

    Args:
        rng: the only source of randomness.
        looks: class label -> looks, of the classes that may occur: at least ``REGIONS[0]`` of stuff
            and one thing.
        size: side of the square image in pixels.
    """
    stuff = [label for label, look in looks.items() if not look.isthing]
    things = [label for label, look in looks.items() if look.isthing]
    canvas = Canvas(rng, size)
    count = int(rng.integers(REGIONS[0], min(REGIONS[1], len(stuff)) + 1))
    labels = [int(label) for label in rng.choice(stuff, count, replace=False)]
    canvas.fill_regions([looks[label] for label in labels])
    wanted = int(rng.integers(OBJECTS[0], OBJECTS[1] + 1))
    for label in rng.choice(things, wanted):
        if canvas.add_object(looks[int(label)]):
            labels.append(int(label))
    return Scene(canvas.finish(), canvas.segments, tuple(labels))


class Canvas:
    """The picture while it is drawn, back to front."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.size = size
        self.segments: np.ndarray = np.zeros((size, size), np.int32)
        # A pixel's colour is its segment's, times the tone.
        self.tone = np.zeros((size, size), np.float32)
        self.colours: list[Floats] = []
        # Pixels of each segment: all that were ever its own, and those that are still to be seen.
        self.full_areas: np.ndarray = np.zeros(0, np.int64)
        self.areas: np.ndarray = self.full_areas

    def fill_regions(self, looks: Sequence[Look]) -> None:
        """Divide the whole image among stuff classes, along bent lines."""
        self.segments = self._bent_cells(len(looks))
        self.full_areas = self.areas = np.bincount(self.segments.ravel())
        for index, look in enumerate(looks):
            period = self._between(*TEXTURE_PERIOD) * self.size
            light = TEXTURES[look.form](*self._turned(self._whole, self._point(0), np.pi, period))
            tone = np.where(light, np.float32(0.72), np.float32(0.42))
            np.copyto(self.tone, tone, where=self.segments == index)
            self.colours.append(self._colour(look))

    def _bent_cells(self, count: int) -> NDArray[np.int32]:
        """Voronoi cells of random sites in wavy coordinates, none of them small."""
        y, x = (side / self.size for side in self._pixels(self._whole))
        while True:
            sites = self.rng.random((count, 2)).tolist()
            bent_x = x + 0.06 * np.sin(7 * y + self._between(0, 2 * np.pi))
            bent_y = y + 0.06 * np.sin(7 * x + self._between(0, 2 * np.pi))
            distances = [(bent_x - sx) ** 2 + (bent_y - sy) ** 2 for sx, sy in sites]
            cells = np.stack(distances).argmin(axis=0).astype(np.int32)
            if np.bincount(cells.ravel(), minlength=count).min() >= MIN_REGION * self.size**2:
                return cells

    def add_object(self, look: Look) -> bool:
        """Paint an object where it buries nothing; False where no such place was found."""
        for _ in range(PLACING_ATTEMPTS):
            radius = self._between(*OBJECT_SIZE) * self.size / 2
            centre = self._point(0.7 * radius)
            window = self._window(centre, SHAPE_REACH * radius)
            u, v = self._turned(window, centre, np.pi / 9, radius)
            mask = SHAPES[look.form](u, v)
            own = int(mask.sum())
            covered = np.bincount(self.segments[window][mask], minlength=len(self.areas))
            areas = np.append(self.areas - covered, own)
            full_areas = np.append(self.full_areas, own)
            least = np.maximum(
                MIN_VISIBLE_OF_ITSELF * full_areas, MIN_VISIBLE_OF_IMAGE * self.size**2
            )
            if (areas >= least).all():
                self.segments[window][mask] = len(self.areas)
                self.areas, self.full_areas = areas, full_areas
                rim = ~SHAPES[look.form](u * 1.13, v * 1.13)
                shade = self._between(0.9, 1.05) - 0.12 * (u + v)
                tone = np.where(rim, np.float32(0.55), shade)
                np.copyto(self.tone[window], tone, where=mask)
                self.colours.append(self._colour(look))
                return True
        return False

    def finish(self) -> NDArray[np.uint8]:
        """The image under uneven light, with noise."""
        middle = (self.size / 2, self.size / 2)
        u, _ = self._turned(self._whole, middle, np.pi, self.size)
        light = 1 + self._between(0.0, 0.3) * u
        image = self.rng.standard_normal((self.size, self.size, 3), np.float32)
        image *= NOISE
        image += np.stack(self.colours)[self.segments] * (self.tone * light)[..., None]
        return image.clip(0, 255, out=image).astype(np.uint8)

    @property
    def _whole(self) -> Window:
        return slice(0, self.size), slice(0, self.size)

    def _window(self, centre: Point, reach: float) -> Window:
        """The pixels that lie at most ``reach`` from a point in either direction."""
        y, x = (
            slice(max(0, math.floor(c - reach)), min(self.size, math.ceil(c + reach)))
            for c in centre
        )
        return y, x

    def _pixels(self, window: Window) -> tuple[Floats, Floats]:
        """y (h x 1) and x (1 x w) of the centres of a window's pixels."""
        y, x = (np.arange(side.start, side.stop, dtype=np.float32) + 0.5 for side in window)
        return y[:, None], x[None]

    def _turned(
        self, window: Window, centre: Point, most: float, unit: float
    ) -> tuple[Floats, Floats]:
        """Coordinates (h x w) of a window's pixels around a centre, turned by a random angle.

        Args:
            window: the pixels.
            centre: y and x of the origin, in pixels.
            most: largest angle, either way, in radians.
            unit: pixels per unit of the result.
        """
        angle = self._between(-most, most)
        cos, sin = math.cos(angle) / unit, math.sin(angle) / unit
        y, x = self._pixels(window)
        y, x = y - centre[0], x - centre[1]
        return cos * x + sin * y, cos * y - sin * x

    def _colour(self, look: Look) -> Floats:
        """The class's colour, a little off."""
        return np.add(look.rgb, self.rng.uniform(-12, 12, 3)).astype(np.float32)

    def _point(self, border: float) -> Point:
        """A random point at least ``border`` pixels inside the image."""
        return self._between(border, self.size - border), self._between(border, self.size - border)

    def _between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))
