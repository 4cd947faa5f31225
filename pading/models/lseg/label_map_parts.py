"""What the label maps of any labels are made of, so that some labels can be asked for at a time."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class LabelMapParts:
    """What label maps of any labels are made of."""

    fused: Tensor
    """(B, C, H/4, W/4)."""
    norm: Tensor
    """(B, 1, H/2, W/2), of the embeddings."""
    padded: tuple[int, int]
    """H and W."""
    size: tuple[int, int]
    """Of the image in it."""
    maxima: list[Tensor] = field(default_factory=list)
    """Over all labels, before each application of a block that adds them."""
