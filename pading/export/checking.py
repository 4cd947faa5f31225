"""An exported file beside PyTorch, on random images, before it takes its place."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pading.errors import InputError
from pading.export.network import ExportedNetwork, Sizes

TOLERANCE = 1e-3
# In multiples of the divisor: unlike each other and unlike the example of the export.
_SIZES = ((2, 3), (4, 2), (5, 7))
_SHARE = 0.999

Run = Callable[[Sequence[Tensor]], dict[str, np.ndarray]]
"""Images and class inputs to outputs by name."""


@torch.no_grad()
def check(network: ExportedNetwork, run: Run, sizes: Sizes, tolerance: float, what: str) -> float:
    """Refuse a file whose outputs are not PyTorch's.

    Attention to what lies inside a mask turns on whether a number is above or below 0, so of random
    images a few outputs may differ by more than rounding: 99.9 % of each must be within the
    tolerance, which is absolute, or relative to the largest number where that is above 1.

    Args:
        network: what was exported.
        run: what the file computes.
        sizes: what is fixed in it.
        tolerance: of the difference.
        what: names the file, and what runs it.

    Returns:
        the largest difference among those 99.9 %.

    Raises:
        InputError: it is above the tolerance.
    """
    divisor = network.model.image_divisor
    random = torch.Generator().manual_seed(0)
    classes = list(network.class_inputs.values())
    worst = 0.0
    for place, multiples in enumerate(_SIZES):
        height, width = sizes.image or (multiples[0] * divisor, multiples[1] * divisor)
        shape = (sizes.batch or 1 + place % 2, 3, height, width)
        images = network.random_images(shape, random)
        wanted = network.compared(network(images, *classes))
        given = run([images, *classes])
        found = network.compared({n: torch.from_numpy(v) for n, v in given.items()})
        for name, ours in wanted.items():
            largest = max(1.0, float(ours.float().abs().max()))
            apart = (found[name].float() - ours.float()).abs().numpy() / largest
            difference = float(np.quantile(apart, _SHARE))
            if not difference <= tolerance:
                raise InputError(
                    f"{what}: {name} differs from PyTorch's by {difference:.2g} on an image of "
                    f"{height} x {width}, more than {tolerance:.2g}; nothing was written. Try "
                    "another opset or a later onnxruntime, or allow more with --tolerance"
                )
            worst = max(worst, difference)
    return worst
