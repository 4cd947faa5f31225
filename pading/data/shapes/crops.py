"""Parts of scenes that show one thing, for learning from pictures and words."""

import numpy as np
from numpy.typing import NDArray

from pading.data.shapes.scenes import Canvas, Look


def draw_crop(
    rng: np.random.Generator, thing: Look | None, ground: Look, scene: int, size: int
) -> NDArray[np.uint8]:
    """A part of a scene that shows one object on one ground, or the ground alone.

    Args:
        rng: the only source of randomness.
        thing: the object; None: none.
        ground: stuff.
        scene: side of the scene in pixels, which objects and textures are sized for.
        size: side of the part, which has the object near its middle.

    Returns:
        (size, size, 3), RGB.
    """
    canvas = Canvas(rng, scene)
    canvas.fill_regions([ground])
    middle = rng.integers(0, scene, 2)
    if thing is not None:
        while not canvas.add_object(thing):
            pass
        middle = np.argwhere(canvas.segments == 1).mean(0) + rng.integers(-6, 7, 2)
    top, left = (int(np.clip(m - size // 2, 0, scene - size)) for m in middle)
    return canvas.finish()[top : top + size, left : left + size]
