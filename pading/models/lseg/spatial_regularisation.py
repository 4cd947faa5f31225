"""LSeg's spatial regularisation blocks: label maps smoothed alike for every label (section 3.4).

Both are equivariant to the order of the labels, and take any number of them.
"""

from collections.abc import Callable
from typing import Literal

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

    def forward(self, logits: Tensor) -> Tensor:
        """(B, K, h, w) -> the same shape."""
        for i in range(self.depth):
            maximum = logits.amax(1, keepdim=True) if self.takes_maximum else None
            convolution = self.convolutions[min(i, len(self.convolutions) - 1)]
            # Every label is an image of its own.
            logits = convolution(logits.flatten(0, 1)[:, None])[:, 0].unflatten(0, logits.shape[:2])
            if maximum is not None:
                logits = logits + maximum
            if i + 1 < self.depth:
                logits = _ACTIVATIONS[self.activation](logits)
        return logits
