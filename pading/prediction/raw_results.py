"""From what a model gives to small NumPy arrays, which any process can turn into results."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pading.structures import pixel_classes


def scores_of(output: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The scores of a model's output by task; see :class:`~pading.prediction.result.Scores`."""
    found = {}
    if "panoptic_scores" in output:
        found["panoptic"] = output["panoptic_scores"].float().cpu().numpy()
    if "instances" in output and output["instances"].has("class_scores"):
        found["instance"] = output["instances"].class_scores.float().cpu().numpy()
    if "sem_seg" in output:
        found["semantic"] = output["sem_seg"].half().cpu().numpy()
    return found


def raw_results(output: Mapping[str, Any], keep_scores: bool = False) -> dict[str, Any]:
    """A model's output of one image, small, as :func:`pading.prediction.result.finish` takes it.

    Args:
        output: what the model gives.
        keep_scores: also give what the results were chosen by, under "scores".
    """
    raw: dict[str, Any] = {}
    if "panoptic_seg" in output:
        ids, segments = output["panoptic_seg"]
        raw["panoptic"] = ids.cpu().numpy(), segments
    if "instances" in output:
        instances = output["instances"].to("cpu")
        masks = instances.pred_masks.numpy()
        labels, scores = instances.pred_classes.tolist(), instances.scores.tolist()
        raw["instance"] = np.packbits(masks, axis=-1), masks.shape[-1], labels, scores
    if "sem_seg" in output or "pixel_classes" in output:
        raw["semantic"] = pixel_classes(output).labels.int().cpu().numpy()
    if keep_scores:
        raw["scores"] = scores_of(output)
    return raw
