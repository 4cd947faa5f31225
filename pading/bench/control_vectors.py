"""Class vectors that say nothing of the classes: results that hang on words must fail with them."""

import torch
from torch.nn import functional as F

from pading.vocabulary.class_vectors import ClassVectors, read_class_vectors
from pading.vocabulary.splits import ClassSplit

CONTROLS = ("shuffled", "random")


def control_vectors(kind: str, text: str, split: ClassSplit, seed: int) -> ClassVectors:
    """Class vectors in place of those of text, of the same shape.

    Args:
        kind: "shuffled" (those of text, given to the wrong classes) or "random" (unit vectors).
        text: name or file of those of text.
        split: the classes.
        seed: of the draw.
    """
    random = torch.Generator().manual_seed(seed)
    vectors = read_class_vectors(text).select(split.names)
    if kind == "shuffled":
        vectors = vectors[torch.randperm(len(vectors), generator=random)]
    elif kind == "random":
        vectors = F.normalize(torch.randn(vectors.shape, generator=random), dim=-1)
    else:
        raise ValueError(f"no such vectors: {kind}")
    return ClassVectors(split.names, vectors.numpy(), f"{kind}, seed {seed}")
