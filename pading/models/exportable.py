"""What the exporter asks of a system, beside :meth:`network`: see :mod:`pading.export`."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from pading.errors import InputError
from pading.vocabulary.splits import ClassSplit


class Exportable(nn.Module):
    """How a network looks from outside: its inputs, its outputs, and how they are read."""

    class_tensors: ClassVar[tuple[str, ...]] = ()
    """Parameters and buffers of which a class is a row; inputs of an exported network, too."""
    size_divisibility: int
    split: ClassSplit

    @property
    def image_divisor(self) -> int:
        """What height and width must be multiples of, so that :meth:`network` need not pad."""
        return max(1, self.size_divisibility)

    @property
    def class_inputs(self) -> dict[str, Tensor]:
        """The tensors of :attr:`class_tensors` by names that ONNX allows; copies, in float32.

        PyTorch takes two tensors of one storage for views of each other.
        """
        tensors = dict(self.named_parameters()) | dict(self.named_buffers())
        return {
            name.replace(".", "_"): tensors[name].detach().float().clone()
            for name in self.class_tensors
        }

    def class_rows(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """What an exported file of this model, or of what it grew from, takes for classes.

        Args:
            names: of the model's classes.

        Returns:
            a row for each of them, by input: what ``pading.runtime``'s ``add_classes`` takes.

        Raises:
            InputError: a name that is none of them, or a model whose classes are no rows.
        """
        if not self.class_tensors:
            raise InputError("this model knows the classes that it was trained on, and no others")
        for name in names:
            if name not in self.split.names:
                raise InputError(f"{name!r} is none of the model's classes; add it to them first")
        places = [self.split.names.index(name) for name in names]
        return {n: rows[places].cpu().numpy() for n, rows in self.class_inputs.items()}

    def named_outputs(self, outputs: Any) -> dict[str, Tensor]:
        """The tensors among what :meth:`network` gives that results are made of, by name."""
        raise NotImplementedError

    def reading(self) -> dict[str, Any]:
        """How :mod:`pading.runtime` makes results of the outputs; as JSON has it.

        ``outputs`` says what they are: "queries" or "pixels"; the rest belongs to that.
        """
        raise NotImplementedError
