"""What the backbone sees in the masks of queries, as part of their embeddings.

Stage 1 teaches a query's embedding to tell seen classes apart, and what tells unseen ones apart is
lost on the way: sheep become cows. Maps of a backbone that learned from many more classes still
have it. Their means in a query's mask are put beside its embedding, so that the generator makes,
and the classifier reads, both. This is ours; the paper has the embedding alone.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pading.checkpoint.published_names import NameTable
from pading.layers.query_masks import MaskFeatures

_CLASSIFIER = "classifier.weight"


def backbone_means(maps: Sequence[Tensor], masks: Tensor, dim: int) -> Tensor:
    """Mean of each map in the mask of each query, weighed by the mask's chances.

    Args:
        maps: (B, C_i, h_i, w_i) of the backbone.
        masks: (B, Q, h, w) mask logits of queries.
        dim: C, width of a query's embedding.

    Returns:
        (B, Q, sum of C_i), float32. The part of each map has mean 0 and a squared norm of C, as
        embeddings that a layer norm has made: no map counts more than another for its scale.
    """
    means = []
    with torch.autocast(masks.device.type, enabled=False):
        for one in maps:
            size = one.shape[-2:]
            here = F.interpolate(masks.float(), size, mode="bilinear", align_corners=False)
            mean = MaskFeatures(one.float()).means(here)
            channels = mean.shape[-1]
            means.append(F.layer_norm(mean, (channels,)) * math.sqrt(dim / channels))
        return torch.cat(means, -1)


def with_wide_classifier(
    weights: Mapping[str, Tensor], table: NameTable, width: int
) -> Mapping[str, Tensor]:
    """A converted checkpoint's weights for a classifier that reads more than stage 1's class head.

    What is added weighs nothing at first. Weights of a stage 2 stay as they are.

    Args:
        weights: a state dict, under published names or ours.
        table: of the names.
        width: of the model's embeddings.
    """
    ours = {table.ours(name): name for name in weights}
    if _CLASSIFIER not in ours or any(name.startswith("generator.") for name in ours):
        return weights
    head = weights[ours[_CLASSIFIER]]
    if head.dim() != 2 or head.shape[1] >= width:
        return weights
    return {**weights, ours[_CLASSIFIER]: F.pad(head, (0, width - head.shape[1]))}
