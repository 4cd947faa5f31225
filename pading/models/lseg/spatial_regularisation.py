"""LSeg's spatial regularisation blocks: label maps smoothed alike for every label (section 3.4).

Both are equivariant to the order of the labels, and take any number of them.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Block = Literal["none", "depthwise", "bottleneck"]
Activation = Literal["lrelu", "relu", "tanh"]
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "lrelu": F.leaky_relu,
    "relu": F.relu,
    "tanh": F.tanh,
}  # slope 0.01


class SpatialRegularisation(nn.Module):
    """One 3 x 3 kernel for all labels, applied ``depth`` times; the last time without activation.

    The bottleneck block also adds the maximum over labels, taken before the convolution.
    """

    def __init__(
        self,
        block: Literal["depthwise", "bottleneck"],
        depth: int,
        activation: Activation = "lrelu",
        shared: bool = True,
    ) -> None:
        """
        Args:
            block: which of the two.
            depth: at least 1.
            activation: between two applications.
            shared: one kernel at all depths, as published; otherwise one each.
        """
        super().__init__()
        self.takes_maximum = block == "bottleneck"
        self.depth = depth
        self.activation = activation
        self.convolutions = nn.ModuleList(
            nn.Conv2d(1, 1, 3, padding=1) for _ in range(1 if shared else depth)
        )

    def forward(self, logits: Tensor, maxima: Sequence[Tensor] = ()) -> Tensor:
        """
        Args:
            logits: (B, K, h, w).
            maxima: of :meth:`maxima`, where these are some labels of many.

        Returns:
            the same shape.
        """
        for i in range(self.depth):
            logits = self._applied(i, logits, maxima[i] if maxima else None)
        return logits

    def maxima(self, maps: Callable[[slice], Tensor], chunks: Sequence[slice]) -> list[Tensor]:
        """What a block adds to every label, of labels that are not all there at once.

        Args:
            maps: a range of labels to their logits (B, k, h, w).
            chunks: the ranges of all labels.

        Returns:
            (B, 1, h, w) before each application; none for a block that adds nothing.
        """
        found: list[Tensor] = []
        for _ in range(self.depth if self.takes_maximum else 0):
            largest: Tensor | None = None
            for rows in chunks:
                logits = maps(rows)
                for i, maximum in enumerate(found):
                    logits = self._applied(i, logits, maximum)
                part = logits.amax(1, keepdim=True)
                largest = part if largest is None else torch.maximum(largest, part)
            assert largest is not None
            found.append(largest)
        return found

    def _applied(self, i: int, logits: Tensor, maximum: Tensor | None) -> Tensor:
        """The i-th application; without a given maximum, that of these labels."""
        if self.takes_maximum and maximum is None:
            maximum = logits.amax(1, keepdim=True)
        convolution = self.convolutions[min(i, len(self.convolutions) - 1)]
        # Every label is an image of its own.
        logits = convolution(logits.flatten(0, 1)[:, None])[:, 0].unflatten(0, logits.shape[:2])
        if maximum is not None:
            logits = logits + maximum
        return _ACTIVATIONS[self.activation](logits) if i + 1 < self.depth else logits
