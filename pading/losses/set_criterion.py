"""The segmenter's losses at every prediction (Mask2Former, section 3.3)."""

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn import functional as F

from pading.losses.matcher import LossWeights, Match, match
from pading.losses.points import sample_points, uncertain_points
from pading.losses.processes import mean_over_processes
from pading.structures import MaskTargets, QueryPredictions


class SetCriterion(nn.Module):
    """Hungarian matching, then losses of classes and of masks read at sampled points.

    Classes: cross-entropy. Masks: binary cross-entropy and dice.
    """

    @configurable
    def __init__(
        self,
        *,
        weights: LossWeights,
        no_object_weight: float,
        deep_supervision: bool,
        num_points: int,
        oversample_ratio: float,
        importance_ratio: float,
        segment_weight: float = 0.0,
    ) -> None:
        """
        Args:
            weights: of the three terms, in matching and loss.
            no_object_weight: of the no-object class in the cross-entropy.
            deep_supervision: supervise the auxiliary predictions, too.
            num_points: points per mask.
            oversample_ratio, importance_ratio: see :func:`~pading.losses.points.uncertain_points`.
        """
        super().__init__()
        self.weights = weights
        self.no_object_weight = no_object_weight
        self.deep_supervision = deep_supervision
        self.num_points = num_points
        self.oversample_ratio = oversample_ratio
        self.importance_ratio = importance_ratio
        self.segment_weight = segment_weight

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        loss = cfg.MODEL.SEGMENTER.LOSS
        return {
            "weights": LossWeights(loss.CLASS_WEIGHT, loss.MASK_WEIGHT, loss.DICE_WEIGHT),
            "no_object_weight": loss.NO_OBJECT_WEIGHT,
            "deep_supervision": loss.DEEP_SUPERVISION,
            "num_points": loss.NUM_POINTS,
            "oversample_ratio": loss.OVERSAMPLE_RATIO,
            "importance_ratio": loss.IMPORTANCE_RATIO,
            "segment_weight": loss.SEGMENT_WEIGHT,
        }

    def forward(
        self,
        predictions: QueryPredictions,
        targets: Sequence[MaskTargets],
        segment_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Weighted losses by name.

        Args:
            predictions: of B images.
            targets: their segments.
            segment_logits: (all segments, outputs) class logits of the segments themselves.

        Returns:
            ``loss_ce``, ``loss_mask`` and ``loss_dice``, and the same names with ``_i`` behind for
            the auxiliary prediction i; with segment logits, ``loss_segments``.
        """
        stages = {"": predictions}
        if self.deep_supervision:
            stages |= {f"_{i}": stage for i, stage in enumerate(predictions.auxiliary)}
        matches = self.match(list(stages.values()), targets)
        num_masks = global_mask_count(targets, predictions.masks.device)
        share = class_weight_share(
            matches[0], predictions.logits.shape[1], self.no_object_weight, predictions.masks.device
        )
        losses = {}
        if segment_logits is not None:
            labels = torch.cat([target.labels for target in targets])
            summed = F.cross_entropy(segment_logits.float(), labels, reduction="sum")
            losses["loss_segments"] = self.segment_weight * summed / num_masks
        with torch.autocast(predictions.masks.device.type, enabled=False):
            for (suffix, stage), pairs in zip(stages.items(), matches, strict=True):
                classes = classification_loss(stage.logits, targets, pairs, self.no_object_weight)
                mask, dice = self._mask_losses(stage.masks, targets, pairs, num_masks)
                losses[f"loss_ce{suffix}"] = self.weights.classes * classes * share
                losses[f"loss_mask{suffix}"] = self.weights.mask * mask
                losses[f"loss_dice{suffix}"] = self.weights.dice * dice
        return losses

    def match(
        self, stages: Sequence[QueryPredictions], targets: Sequence[MaskTargets]
    ) -> list[list[Match]]:
        """:func:`~pading.losses.matcher.match` with this criterion's weights, in float32."""
        with torch.autocast(stages[0].masks.device.type, enabled=False):
            return match(stages, targets, self.weights, self.num_points)

    def query_labels(self, predictions: QueryPredictions, targets: Sequence[MaskTargets]) -> Tensor:
        """Match one prediction; the result is that of the function :func:`query_labels`."""
        [pairs] = self.match([predictions], targets)
        return query_labels(targets, pairs, *predictions.logits.shape[1:])

    def _mask_losses(
        self,
        masks: Tensor,
        targets: Sequence[MaskTargets],
        pairs: Sequence[Match],
        num_masks: float,
    ) -> tuple[Tensor, Tensor]:
        predicted = torch.cat([m[query] for m, (query, _) in zip(masks, pairs, strict=True)])
        predicted = predicted.float()
        points = uncertain_points(
            predicted.detach(), self.num_points, self.oversample_ratio, self.importance_ratio
        )
        logits = sample_points(predicted[:, None], points)[:, 0]
        with torch.no_grad():
            wanted = torch.cat([t.masks[s] for t, (_, s) in zip(targets, pairs, strict=True)])
            wanted = sample_points(wanted[:, None].float(), points)[:, 0]
        return mask_loss(logits, wanted, num_masks), dice_loss(logits, wanted, num_masks)


def query_labels(
    targets: Sequence[MaskTargets], pairs: Sequence[Match], num_queries: int, num_outputs: int
) -> Tensor:
    """(B, Q) int64: the class of each query's target; the last, no-object, where it has none."""
    device = targets[0].labels.device
    labels = torch.full((len(targets), num_queries), num_outputs - 1, device=device)
    for row, target, (query, segment) in zip(labels, targets, pairs, strict=True):
        row[query.to(device)] = target.labels[segment.to(device)]
    return labels


def classification_loss(
    logits: Tensor, targets: Sequence[MaskTargets], pairs: Sequence[Match], no_object_weight: float
) -> Tensor:
    """Cross-entropy of every query, the last class (no-object) weighted down.

    Args:
        logits: (B, Q, classes + 1).
    """
    labels = query_labels(targets, pairs, *logits.shape[1:])
    weight = torch.ones(logits.shape[-1], device=logits.device)
    weight[-1] = no_object_weight
    return F.cross_entropy(logits.float().transpose(1, 2), labels, weight)


def mask_loss(logits: Tensor, wanted: Tensor, num_masks: float) -> Tensor:
    """Binary cross-entropy at points (N, P): mean over points, sum over masks / ``num_masks``."""
    loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return loss.mean(1).sum() / num_masks


def dice_loss(logits: Tensor, wanted: Tensor, num_masks: float) -> Tensor:
    """Dice loss of masks at points (N, P), smoothed by 1, sum over masks / ``num_masks``."""
    probability = logits.sigmoid()
    overlap = 2 * (probability * wanted).sum(1)
    size = probability.sum(1) + wanted.sum(1)
    return (1 - (overlap + 1) / (size + 1)).sum() / num_masks


def global_mask_count(targets: Sequence[MaskTargets], device: torch.device) -> float:
    """Targets per process, averaged over the processes; at least 1."""
    return max(mean_over_processes(float(sum(len(t.labels) for t in targets)), device), 1.0)


def class_weight_share(
    pairs: Sequence[Match], num_queries: int, no_object_weight: float, device: torch.device
) -> float:
    """How much a process's weighted mean over its queries counts in that over all processes'.

    1 is an equal share. With it the processes' classification losses average to that of the whole
    batch, whose queries weigh the same whichever process they are in.
    """
    matched = sum(len(query) for query, _ in pairs)
    weight = matched + no_object_weight * (len(pairs) * num_queries - matched)
    mean = mean_over_processes(weight, device)
    return weight / mean if mean else 1.0
