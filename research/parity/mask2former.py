"""The segmenter beside a recording: raw and processed outputs, losses over random draws.

Arrays (h, w: height and width of the output; K: classes):

    features/*, mask_features, multi_scale/i, aux_logits/i, pred_logits, pred_masks, pred_embed,
    classifier_logits                 raw outputs
    sem_seg_argmax (h, w), sem_seg_sample (K, h / 16, w / 16), panoptic_seg (h, w), segments_info,
    instance_scores, instance_classes (I,), instance_masks (I, h, w / 8 bits)   processed outputs
    loss_names, loss_mean, loss_standard_error   over random point draws in training mode
    grad_norms                        JSON, from one draw: an order of magnitude
"""

import numpy as np
import torch
from detectron2.structures import Instances
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from pading.structures import QueryPredictions
from research.parity.comparison import LOGITS, MASK_LOGITS, PIXELS, Comparer
from research.parity.recording import Recording

_SAMPLE = 16
_STANDARD_ERRORS = 4
# A recorded standard error may be 0; the losses still have float32's rounding.
_ROUNDING = 1e-5
_ORDER_OF_MAGNITUDE = 10

_FEATURES = 2e-6  # of the largest value, which is 10 to 500: as float32 rounds over many layers


@torch.no_grad()
def compare_outputs(comparer: Comparer) -> QueryPredictions:
    """Compare everything from the backbone's features to panoptic, semantic, instance results.

    Returns:
        the predictions, for what follows.
    """
    recording, model = comparer.recording, comparer.recording.model
    images, _ = model.preprocess(recording.batch)
    features = model.backbone(images)
    pixels = model.sem_seg_head["pixel_decoder"](features)
    predictions = model.sem_seg_head["predictor"](pixels.multi_scale, pixels.mask_features)
    for name, value in features.items():
        array = f"features/{name}"
        largest = recording.tensor(array).abs().max().item() if array in recording else 0.0
        comparer.values(array, value, _FEATURES * largest)
    comparer.values("mask_features", pixels.mask_features, LOGITS)
    for i, value in enumerate(pixels.multi_scale):
        comparer.values(f"multi_scale/{i}", value, LOGITS)
    for i, stage in enumerate(predictions.auxiliary):
        comparer.values(f"aux_logits/{i}", stage.logits, LOGITS)
    comparer.values("pred_logits", predictions.logits, LOGITS)
    comparer.values("pred_masks", predictions.masks, MASK_LOGITS)
    comparer.values("pred_embed", predictions.embeddings, LOGITS)
    if recording.is_stage_two:
        comparer.values("classifier_logits", model.class_logits(predictions), LOGITS)

    [results] = model(recording.batch)
    if "sem_seg" in results:
        scores = results["sem_seg"]
        comparer.pixels("sem_seg_argmax", scores.argmax(0).numpy())
        comparer.values("sem_seg_sample", scores[:, ::_SAMPLE, ::_SAMPLE], LOGITS)
    if "panoptic_seg" in results:
        ids, segments = results["panoptic_seg"]
        comparer.pixels("panoptic_seg", ids.numpy())
        _compare_segments(comparer, segments)
    if "instances" in results:
        _compare_instances(comparer, results["instances"])
    return predictions


def _compare_segments(comparer: Comparer, segments: list[dict]) -> None:
    if comparer.recorded("segments_info"):
        wanted = comparer.recording.parsed("segments_info")
        ours = [{key: s[key] for key in ("id", "isthing", "category_id")} for s in segments]
        differing = sum(a != b for a, b in zip(ours, wanted, strict=False))
        differing += abs(len(ours) - len(wanted))
        comparer.count("segments_info", differing, "segments")


def _compare_instances(comparer: Comparer, instances: Instances) -> None:
    """Results come in no order, so each is paired with the recorded one that is most like it."""
    recording = comparer.recording
    names = ("instance_classes", "instance_scores", "instance_masks")
    if [name for name in names if not comparer.recorded(name)]:
        return
    classes, scores = (recording.numbers(name) for name in names[:2])
    masks = recording.masks("instance_masks", instances.image_size[1])
    score_apart = np.abs(instances.scores.numpy()[:, None] - scores)
    mask_apart = np.array(
        [[np.mean(a != b) for b in masks] for a in instances.pred_masks.numpy()]
    ).reshape(score_apart.shape)
    class_apart = instances.pred_classes.numpy()[:, None] != classes
    pairs = linear_sum_assignment(10 * class_apart + mask_apart + score_apart)
    unlike = class_apart[pairs].sum() + abs(len(instances) - len(classes))
    comparer.count("instance_classes", unlike, "instances")
    comparer.add("instance_scores", score_apart[pairs].max(initial=0), LOGITS, "absolute")
    comparer.add("instance_masks", mask_apart[pairs].max(initial=0), PIXELS, "share of pixels")


def compare_losses(comparer: Comparer, draws: int) -> None:
    """Compare the mean of every loss over random points, and the gradients of one draw.

    Args:
        draws: how many, at least 2.
    """
    recording, model = comparer.recording, comparer.recording.model
    if not comparer.recorded("loss_mean"):
        return
    model.train()
    try:
        losses = model(recording.batch)
        torch.stack(list(losses.values())).sum().backward()
        compare_gradients(comparer, "grad_norms", _ORDER_OF_MAGNITUDE)
        with torch.no_grad():
            drawn = [losses, *(model(recording.batch) for _ in range(draws - 1))]
    finally:
        model.zero_grad()
        model.eval()
    names = recording.parsed("loss_names")
    comparer.count("loss_names", len(set(losses) ^ set(names)), "names")
    wanted = dict(zip(names, recording.numbers("loss_mean").tolist(), strict=True))
    errors = dict(zip(names, recording.numbers("loss_standard_error").tolist(), strict=True))
    for name in sorted(set(losses) & set(names)):
        ours = np.array([draw[name].item() for draw in drawn])
        combined = np.hypot(ours.std(ddof=1) / draws**0.5, errors[name])
        comparer.add(
            "loss_mean",
            abs(ours.mean() - wanted[name]),
            _STANDARD_ERRORS * combined + _ROUNDING * abs(wanted[name]),
            f"{_STANDARD_ERRORS} standard errors",
            name,
        )


def compare_gradients(
    comparer: Comparer, array: str, tolerance: float, detached: tuple[str, ...] = ()
) -> None:
    """Compare the norm of every parameter's gradient, by the largest factor between two.

    Args:
        array: JSON of published names and norms.
        tolerance: a factor, at least 1.
        detached: how published names begin of parameters that our loss leaves alone on purpose.
    """
    if not comparer.recorded(array):
        return
    ours = gradient_norms(comparer.recording.model)
    recorded = comparer.recording.parsed(array)
    left = [name for name in recorded if name.startswith(detached)]
    wanted = {name: norm for name, norm in recorded.items() if name not in left}
    # Norms that are nothing beside the largest are rounding.
    least = 1e-6 * max(wanted.values(), default=0.0) + 1e-30
    factor = 1.0
    for name, norm in wanted.items():
        a, b = max(ours.get(name, 0.0), least), max(norm, least)
        factor = max(factor, a / b, b / a)
    note = f", without {' and '.join(left)}" * bool(left)
    comparer.add(array, factor, tolerance, "factor" + note)


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Norms by published name; 0 where a parameter that is trained has no gradient."""

    def norm(gradient: Tensor | None) -> float:
        return 0.0 if gradient is None else gradient.norm().item()

    return {
        model.published_names.published(name): norm(p.grad)
        for name, p in model.named_parameters()
        if p.requires_grad
    }


INPUTS = ("opts", "image_rgb", "output_size", "thing_ids", "target_masks", "target_labels")
"""Arrays that describe what was computed; ``loss_standard_error`` goes with ``loss_mean``."""


def segmenter_inputs(recording: Recording) -> set[str]:
    """Arrays that are given, not compared."""
    weights = {name for name in recording.arrays if name.startswith("weights/")}
    return {*INPUTS, "loss_standard_error"} | weights
