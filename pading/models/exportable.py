"""What the exporter asks of a system, beside :meth:`network`: see :mod:`pading.export`."""

from typing import Any, ClassVar

from torch import Tensor


class Exportable:
    """How a network looks from outside: its inputs, its outputs, and how they are read."""

    class_tensors: ClassVar[tuple[str, ...]] = ()
    """Parameters and buffers of which a class is a row; inputs of an exported network, too."""
    size_divisibility: int

    @property
    def image_divisor(self) -> int:
        """What height and width must be multiples of, so that :meth:`network` need not pad."""
        return max(1, self.size_divisibility)

    def named_outputs(self, outputs: Any) -> dict[str, Tensor]:
        """The tensors among what :meth:`network` gives that results are made of, by name."""
        raise NotImplementedError

    def reading(self) -> dict[str, Any]:
        """How :mod:`pading.runtime` makes results of the outputs; as JSON has it.

        ``outputs`` says what they are: "queries" or "pixels"; the rest belongs to that.
        """
        raise NotImplementedError
