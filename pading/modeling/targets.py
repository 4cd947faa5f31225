"""Ground truth in the form that matching and losses take."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass
class Targets:
    """The segments of one image."""

    labels: Tensor
    """(N,) int64 classes."""
    masks: Tensor
    """(N, H, W) bool, at the padded size of the batch."""


def prepare_targets(
    batch: Sequence[dict], size: tuple[int, int], device: torch.device
) -> list[Targets]:
    """Take ``instances`` from Detectron2's dictionaries; pad masks right and bottom to ``size``."""
    targets = []
    for image in batch:
        instances = image["instances"].to(device)
        masks = instances.gt_masks
        masks = masks.tensor if hasattr(masks, "tensor") else masks
        height, width = masks.shape[-2:]
        padded = F.pad(masks, (0, size[1] - width, 0, size[0] - height))
        targets.append(Targets(instances.gt_classes, padded))
    return targets
