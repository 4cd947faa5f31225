"""A system's network as a graph: torch.export, with classes as inputs and sizes as symbols."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from pading.models.base import SegmentationModel

IMAGES = "images"
"""Name of the input of normalised pixels."""
# Of one side, in multiples of the divisor: of one, and of a batch of one, PyTorch makes constants.
_LEAST, _MOST = 2, 4096


@dataclass(frozen=True)
class Sizes:
    """What of an exported network's inputs is fixed; None: what may vary.

    Args:
        batch: images at a time.
        image: height and width, multiples of the model's ``image_divisor``.
    """

    batch: int | None = None
    image: tuple[int, int] | None = None


class ExportedNetwork(nn.Module):
    """Normalised images, and the tensors that classes are rows of, to outputs by name."""

    def __init__(self, model: SegmentationModel) -> None:
        super().__init__()
        self.model = model

    @property
    def class_inputs(self) -> dict[str, Tensor]:
        """The model's own tensors that classes are rows of, in order."""
        return self.model.class_inputs

    def random_images(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Images (B, 3, H, W) as :meth:`forward` takes them, to compare outputs on."""
        return torch.randn(*shape, generator=generator)

    def compared(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """What of the outputs is compared."""
        return outputs

    def forward(self, images: Tensor, *classes: Tensor) -> dict[str, Tensor]:
        """
        Args:
            images: (B, 3, H, W), normalised.
            classes: as :attr:`class_inputs`, in their order.
        """
        given = dict(zip(self.model.class_tensors, classes, strict=True))
        outputs = torch.func.functional_call(_Network(self.model), _inside(given), (images,))
        return self.model.named_outputs(outputs)


class _Network(nn.Module):
    """:meth:`network` as ``forward``, which functional_call asks for."""

    def __init__(self, model: SegmentationModel) -> None:
        super().__init__()
        self.inner = model

    def forward(self, images: Tensor) -> object:
        return self.inner.network(images)


def _inside(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"inner.{name}": value for name, value in tensors.items()}


@torch.no_grad()
def capture(network: ExportedNetwork, sizes: Sizes) -> ExportedProgram:
    """The graph of a network, in float32.

    Its inputs are ``images`` and the model's class tensors, with any number of classes.

    Args:
        network: of a model in evaluation mode, on the CPU.
        sizes: what is fixed.
    """
    divisor = network.model.image_divisor
    # An example that is unlike any other number of the model, so that none is taken for it, and has
    # several attention windows on either axis, since one would be taken for a constant.
    height, width = sizes.image or (9 * divisor, 13 * divisor)
    images = torch.zeros(sizes.batch or 2, 3, height, width)
    dynamic: dict[int, object] = {}
    if sizes.batch is None:
        dynamic[0] = Dim("batch", min=1, max=1024)
    if sizes.image is None:
        dynamic |= {2: divisor * _side("rows"), 3: divisor * _side("columns")}
    inputs = network.class_inputs
    classes = [
        {0: Dim("outputs" if name.startswith("classifier") else "classes", min=2)}
        for name in inputs
    ]
    return torch.export.export(
        network.eval(),
        (images, *inputs.values()),
        dynamic_shapes=(dynamic, tuple(classes)) if classes else (dynamic,),
        strict=False,
    )


def _side(name: str) -> Any:
    return Dim(name, min=_LEAST, max=_MOST)
