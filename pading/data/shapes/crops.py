"""Parts of scenes that show one thing, for learning from pictures and words."""

import numpy as np
from numpy.typing import NDArray

from pading.data.shapes.scenes import Canvas, Look

_AWAY = 7 / 16  # of a part's side: how far the object may be from its middle


def draw_crop(
    rng: np.random.Generator, thing: Look | None, ground: Look, scene: int, size: int
) -> NDArray[np.uint8]:
    """A part of a scene that shows one object on one ground, or the ground alone.

    Args:
        rng: the only source of randomness.
        thing: the object; None: none.
        ground: stuff.
        scene: side of the scene in pixels, which objects and textures are sized for.
        size: side of the part, which has the object's centre anywhere inside.

    Returns:
        (size, size, 3), RGB.
    """
    canvas = Canvas(rng, scene)
    canvas.fill_regions([ground])
    middle = rng.integers(0, scene, 2)
    if thing is not None:
        while not canvas.add_object(thing):
            pass
        # Not always in the middle: patches everywhere have to learn objects.
        reach = int(_AWAY * size)
        middle = np.argwhere(canvas.segments == 1).mean(0) + rng.integers(-reach, reach + 1, 2)
    top, left = (int(np.clip(m - size // 2, 0, scene - size)) for m in middle)
    return canvas.finish()[top : top + size, left : left + size]
