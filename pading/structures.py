"""What rooms hand each other: sizes, predictions and targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class ImageSizes(NamedTuple):
    """Sizes, as (height, width), that belong to a batch of padded images."""

    padded: tuple[int, int]
    """Of the batch's tensor."""
    images: list[tuple[int, int]]
    """Of each image in it, from its upper left corner."""
    wanted: list[tuple[int, int]]
    """At which results are wanted."""


@dataclass(frozen=True)
class QueryPredictions:
    """What the decoder says of every query, after its last layer."""

    logits: Tensor
    """(B, Q, classes + 1) class logits; the last is no-object."""
    masks: Tensor
    """(B, Q, H/4, W/4) mask logits."""
    embeddings: Tensor
    """(B, Q, C) class embeddings, of which the logits are a linear map."""
    auxiliary: list["QueryPredictions"] = field(default_factory=list)
    """The same before each layer, first to last; outside training with masks of the size of the map
    that the layer attends to."""
    second: Tensor | None = None
    """(B, Q, K) class probabilities by another model, where one is asked."""
    features: Tensor | None = None
    """(B, MASK_DIM, H/4, W/4) mask features, in training."""


class PixelClasses(NamedTuple):
    """Which class every pixel is of: what is left of ``sem_seg`` where that would be too large."""

    labels: Tensor
    """(H, W) int64, contiguous."""
    best: Tensor
    """(H, W) float32, the score of that class."""
    total: Tensor
    """(H, W) float32, the sum of all classes' scores, negative ones as 0."""


def pixel_classes(output: Mapping[str, Any]) -> PixelClasses:
    """Of a model's result that has ``pixel_classes``, or ``sem_seg`` (K, H, W)."""
    if "pixel_classes" in output:
        return output["pixel_classes"]
    scores = output["sem_seg"].float()
    best, labels = scores.max(0)
    return PixelClasses(labels, best, scores.clamp(min=0).sum(0))


@dataclass
class MaskTargets:
    """The segments of one image."""

    labels: Tensor
    """(N,) int64 classes."""
    masks: Tensor
    """(N, H, W) bool, at the padded size of the batch."""


def prepare_targets(
    batch: Sequence[Mapping[str, Any]], size: tuple[int, int], device: torch.device
) -> list[MaskTargets]:
    """Take ``instances`` from Detectron2's dictionaries; pad masks right and bottom to ``size``."""
    targets = []
    for image in batch:
        instances = image["instances"].to(device)
        masks = instances.gt_masks
        masks = masks.tensor if hasattr(masks, "tensor") else masks
        height, width = masks.shape[-2:]
        padded = F.pad(masks, (0, size[1] - width, 0, size[0] - height))
        targets.append(MaskTargets(instances.gt_classes, padded))
    return targets
