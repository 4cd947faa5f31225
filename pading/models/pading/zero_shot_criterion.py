"""The losses of stage 2: generator's and classifier's (PADing, section 3; METHOD: Stage 2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn import functional as F

from pading.models.pading.moment_matching import moment_matching_loss
from pading.models.pading.steps import ClassifierStep, GeneratorStep, Group
from pading.models.pading.structure_losses import (
    alignment_loss,
    reconstruction_loss,
    relation_loss,
    unrelated_loss,
)


@dataclass(frozen=True)
class StructureWeights:
    """Weights of the disentanglement and alignment terms, lambda multiplied in."""

    alignment: float
    unrelated: float
    relation: float
    reconstruction: float


class ZeroShotCriterion(nn.Module):
    """Moment matching, guidance by the classifier, structure; and the classifier's own loss.

    The generator's losses read the classifier through detached weights and the classifier's loss
    sees detached synthetic embeddings, so one backward pass serves both.
    """

    @configurable
    def __init__(
        self,
        *,
        bandwidths: Sequence[float],
        moment_class_share: float,
        generator_class_weight: float,
        structure: StructureWeights,
        temperature: float,
        unseen_weight: float,
        no_object_weight: float,
    ) -> None:
        """
        Args:
            bandwidths: of the moment-matching kernels.
            moment_class_share: share of them that compares class by class.
            generator_class_weight: of the classifier's verdict on synthetic embeddings.
            structure: weights of disentanglement and alignment.
            temperature: of the Kullback-Leibler terms.
            unseen_weight, no_object_weight: class weights of the classifier's loss; seen: 1.
        """
        super().__init__()
        self.bandwidths = list(bandwidths)
        self.moment_class_share = moment_class_share
        self.generator_class_weight = generator_class_weight
        self.structure = structure
        self.temperature = temperature
        self.unseen_weight = unseen_weight
        self.no_object_weight = no_object_weight

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        z = cfg.MODEL.ZERO_SHOT
        whole = z.STRUCTURE_WEIGHT
        return {
            "bandwidths": z.MOMENT_BANDWIDTHS,
            "moment_class_share": z.MOMENT_CLASS_SHARE,
            "generator_class_weight": z.GENERATOR_CLASS_WEIGHT,
            "structure": StructureWeights(
                alignment=whole * z.ALIGNMENT_WEIGHT,
                unrelated=whole * z.UNRELATED_WEIGHT,
                relation=whole * z.RELATION_WEIGHT * 0.2,
                reconstruction=whole * z.RECONSTRUCTION_WEIGHT,
            ),
            "temperature": z.TEMPERATURE,
            "unseen_weight": z.UNSEEN_WEIGHT,
            "no_object_weight": z.NO_OBJECT_WEIGHT,
        }

    def forward(
        self, generator: GeneratorStep | None, classifier: ClassifierStep
    ) -> dict[str, Tensor]:
        """Weighted losses by name; without a generator's step, of the classifier alone."""
        with torch.autocast(classifier.logits.device.type, enabled=False):
            losses = {"loss_classifier": self.classifier_loss(classifier)}
            if generator is not None:
                losses |= self.generator_losses(generator)
        return losses

    def generator_losses(self, step: GeneratorStep) -> dict[str, Tensor]:
        """L_G, L_cls and the structure terms; their sum trains everything but the classifier."""
        labels = step.guiding_labels
        losses = {
            "loss_moment": moment_matching_loss(
                step.synthetic.float(),
                step.real.float(),
                self.bandwidths,
                labels,
                self.moment_class_share,
            )
        }
        verdict = F.cross_entropy(step.guiding_logits.float(), labels, reduction="sum")
        verdict = verdict / max(len(labels), 1)
        losses["loss_generator_class"] = self.generator_class_weight * verdict
        if step.groups is not None:
            losses |= self._structure_losses(*step.groups)
        return losses

    def _structure_losses(self, seen: Group, unseen: Group) -> dict[str, Tensor]:
        def both(loss) -> Tensor:
            return (loss(seen) + loss(unseen)) / 2

        unrelated = both(
            lambda g: unrelated_loss(g.parts.unrelated.float(), g.noise, self.temperature)
        )
        relation = both(lambda g: relation_loss(g.relation_scores.float(), g.labels))
        reconstruction = both(
            lambda g: reconstruction_loss(g.parts.rebuilt.float(), g.embeddings.float())
        )
        alignment = alignment_loss(
            seen.parts.related.float(),
            unseen.parts.related.float(),
            seen.tokens.float(),
            unseen.tokens.float(),
            self.temperature,
        )
        return {
            "loss_alignment": self.structure.alignment * alignment,
            "loss_unrelated": self.structure.unrelated * unrelated,
            "loss_relation": self.structure.relation * relation,
            "loss_reconstruction": self.structure.reconstruction * reconstruction,
        }

    def classifier_loss(self, step: ClassifierStep) -> Tensor:
        """Class-weighted cross-entropy on real and synthetic embeddings."""
        weight = torch.ones(step.logits.shape[-1], device=step.logits.device)
        weight[step.unseen] = self.unseen_weight
        weight[-1] = self.no_object_weight / step.no_object_share
        return F.cross_entropy(step.logits.float(), step.labels, weight)
