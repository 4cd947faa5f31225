"""What is said of a checkpoint whose class vectors are not those that are given."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def other_vectors(checkpoint: Mapping[str, Any], ours: Tensor | None) -> list[str]:
    """A warning where a checkpoint holds other class vectors: they are what it was trained with."""
    theirs = checkpoint["model"].get("class_vectors")
    if theirs is None or ours is None or theirs.equal(ours.to(theirs)):
        return []
    return [
        "its class vectors are others than those of MODEL.CLASS_VECTORS, which do not count: the "
        "weights were trained with theirs"
    ]


def vectors_hint(name: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> str:
    """What class vectors of another shape hint at; "" for other tensors."""
    if name != "class_vectors":
        return ""
    return (
        f"it was trained with class vectors of shape {theirs}, but MODEL.CLASS_VECTORS gives "
        f"{ours}: use the vectors that it was trained with"
    )
