"""Stage 2: PADing (He, Ding, Jiang, CVPR 2023).

The segmenter is frozen; a generator synthesises embeddings of unseen classes, and the classifier is
retrained on them and on real ones.
"""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from pading.data.batches import Batches
from pading.models.class_head import head_hint
from pading.models.other_vectors import vectors_hint
from pading.models.pading.disentanglement import Disentangler
from pading.models.pading.generator import build_generator, semantic_projection
from pading.models.pading.memory import EmbeddingMemory
from pading.models.pading.new_classes import with_classes
from pading.models.pading.pading_names import PADING_NAMES
from pading.models.pading.ridge_generator import RidgeGenerator
from pading.models.pading.source import (
    asks_for_store,
    check_source,
    kept_share,
    training_source,
    with_kept_share,
)
from pading.models.pading.split_checks import check_stage_two, guiding_classes
from pading.models.pading.steps import ClassifierStep, GeneratorStep, StageTwoBatch, disentangled
from pading.models.pading.wide_queries import WideQueries
from pading.models.pading.zero_shot_criterion import ZeroShotCriterion
from pading.models.parameter_groups import ParameterGroups
from pading.structures import QueryPredictions
from pading.vocabulary.splits import ClassSplit


@META_ARCH_REGISTRY.register()
class PADing(WideQueries):
    """The segmenter, frozen, with a generator and a classifier of its own; wiring only."""

    uses_class_vectors = True
    class_tensors = ("classifier.weight", "classifier.bias")
    # From a segmenter of random weights there is nothing to learn.
    needs_trained_weights = True
    unused_settings = {
        "SOLVER.BACKBONE_MULTIPLIER": "stage 2 keeps the backbone as it is",
        "SOLVER.WEIGHT_DECAY_NORM": "stage 2 keeps the segmenter's norms as they are",
        "SOLVER.WEIGHT_DECAY_EMBED": "stage 2 keeps the segmenter's embeddings as they are",
    }
    published_names = PADING_NAMES
    # Published checkpoints have no vectors; those that stage 2 starts from end with the classifier.
    initialised_afresh = (
        ("class_vectors",),
        ("semantic_projection.", "generator.", "disentangler."),
        ("memory.",),
    )
    made_by_conversion = ("classifier.",)

    class_vectors: Tensor
    seen: Tensor
    unseen: Tensor
    guiding: Tensor
    generator: nn.Module

    @configurable
    def __init__(
        self,
        *,
        class_vectors: Tensor,
        generator: nn.Module,
        disentangler: Disentangler | None,
        zero_shot_criterion: ZeroShotCriterion,
        generator_class_logits: str,
        structure_source: str,
        num_unseen_classes: int,
        num_per_unseen_class: int,
        memory_size: int,
        kept_share: float,
        dim: int,
        backbone_features: Sequence[str] = (),
        **segmenter: Any,
    ) -> None:
        """
        Args:
            class_vectors: (K, d) semantic vectors in the order of the split.
            generator: semantic tokens (N, C) to synthetic embeddings (N, C).
            disentangler: None switches disentanglement and alignment off.
            zero_shot_criterion: :class:`GeneratorStep` and :class:`ClassifierStep` to losses.
            generator_class_logits, structure_source, num_unseen_classes, num_per_unseen_class,
                memory_size: as the keys of MODEL.ZERO_SHOT that are called so.
            kept_share: share of the unmatched queries that its training meets, in (0, 1].
            dim: width C of an embedding.
            backbone_features: outputs of the backbone that are part of it.
            segmenter: see Mask2Former; its class head knows all classes.
        """
        super().__init__(class_vectors=class_vectors, **segmenter)
        self.both = structure_source == "both"
        self.generator_class_logits = generator_class_logits
        self.num_unseen_classes = num_unseen_classes
        self.num_per_unseen_class = num_per_unseen_class
        self.kept_share = kept_share
        self.width = dim
        self.backbone_features = tuple(backbone_features)
        self.set_groups()
        num_classes = self.split.num_classes
        self.classifier = nn.Linear(dim, num_classes + 1)
        self.semantic_projection = semantic_projection(generator, class_vectors.shape[1], dim)
        self.generator = generator
        self.disentangler = disentangler
        self.memory = EmbeddingMemory(num_classes, memory_size, dim)
        self.zero_shot_criterion = zero_shot_criterion
        for part in (self.backbone, self.sem_seg_head):
            part.requires_grad_(False)
        self.train()

    def set_groups(self) -> None:
        """Lay down which classes are seen, which unseen, and which guide the generator."""
        split, device = self.split, self.device
        guiding = guiding_classes(split, self.generator_class_logits)
        for name, classes in (("seen", split.seen), ("unseen", split.unseen), ("guiding", guiding)):
            places = torch.tensor(classes, dtype=torch.int64, device=device)
            self.register_buffer(name, places, persistent=False)
        # The class head knows them, but training must not show them.
        self.trainable[self.unseen] = False

    @classmethod
    def from_config(
        cls, cfg: CfgNode, split: ClassSplit, class_vectors: Tensor | None = None
    ) -> dict[str, Any]:
        z, parts = cfg.MODEL.ZERO_SHOT, super().from_config(cfg, split, class_vectors)
        structured = z.STRUCTURE_WEIGHT and cfg.MODEL.GENERATOR.NAME != "ridge"
        maps = parts["backbone"].output_shape()
        dim = cfg.MODEL.SEGMENTER.HIDDEN_DIM + sum(maps[n].channels for n in z.BACKBONE_FEATURES)
        return parts | {
            "generator": build_generator(cfg, dim, parts["class_vectors"]),
            "disentangler": Disentangler(dim, z.STRUCTURE_DROPOUT) if structured else None,
            "zero_shot_criterion": ZeroShotCriterion(cfg),
            "generator_class_logits": z.GENERATOR_CLASS_LOGITS,
            "structure_source": z.STRUCTURE_SOURCE,
            "num_unseen_classes": z.NUM_UNSEEN_CLASSES,
            "num_per_unseen_class": z.NUM_PER_UNSEEN_CLASS,
            "memory_size": z.MEMORY,
            "kept_share": kept_share(cfg),
            "dim": dim,
            "backbone_features": z.BACKBONE_FEATURES,
        }

    @classmethod
    def check(cls, cfg: CfgNode, split: ClassSplit) -> None:
        super().check(cfg, split)
        check_stage_two(cfg, split)

    @classmethod
    def check_training(cls, cfg: CfgNode, processes: int) -> None:
        check_source(cfg)
        # Stored embeddings are drawn by every process for the whole batch.
        super().check_training(cfg, 1 if asks_for_store(cfg) else processes)

    @classmethod
    def kept_configuration(cls, cfg: CfgNode) -> CfgNode:
        return with_kept_share(cfg)

    def training_source(self, cfg: CfgNode, seed: int) -> Batches:
        return training_source(cfg, self, seed)

    def parameter_groups(self, cfg: CfgNode) -> dict[str, ParameterGroups]:
        """The classifier learns by SOLVER.OPTIMIZER, all else that has a gradient by Adam."""
        solver, classifier = cfg.SOLVER, list(self.classifier.parameters())
        own = {"params": classifier, "lr": solver.BASE_LR, "weight_decay": solver.WEIGHT_DECAY}
        groups = {"classifier": ParameterGroups([own])}
        mine = {id(p) for p in classifier}
        others = [p for p in self.parameters() if p.requires_grad and id(p) not in mine]
        if others:  # with ridge regression there are none
            rest = {"params": others, "lr": solver.GENERATOR_LR, "weight_decay": 0.0}
            groups["generator"] = ParameterGroups([rest], "ADAM")
        return groups

    def shape_hint(self, name: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> str:
        if name == "semantic_projection.weight":
            return (
                f"it was trained with class vectors of {theirs[1]} numbers, but "
                f"MODEL.CLASS_VECTORS gives {ours[1]}: use the vectors that it was trained with"
            )
        return vectors_hint(name, theirs, ours) or head_hint(name, theirs, ours)

    def with_classes(
        self, split: ClassSplit, class_vectors: Tensor, rows: Sequence[int | None], seed: int = 0
    ) -> "PADing":
        return with_classes(self, split, class_vectors, rows, seed)

    def train(self, mode: bool = True) -> "PADing":
        """Set the training mode; the frozen segmenter stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        self.sem_seg_head.eval()
        return self

    def class_logits(self, predictions: QueryPredictions) -> Tensor:
        return self.classifier(predictions.embeddings)

    def training_losses(self, batch: StageTwoBatch) -> dict[str, Tensor]:
        return self.zero_shot_losses(*batch)

    def zero_shot_losses(
        self, embeddings: Tensor, labels: Tensor, no_object_share: float = 1.0
    ) -> dict[str, Tensor]:
        """Losses of generator and classifier; they touch disjoint parameters.

        Args:
            embeddings: (R, C) class embeddings of queries, without gradient.
            labels: (R,) int64 in [0, K]; K is no-object.
            no_object_share: which share of the unmatched queries these are; their loss is weighed
                up by its inverse.
        """
        self.memory.keep(embeddings, labels)
        tokens = self.semantic_tokens()
        matched = labels < self.split.num_classes
        real, real_labels = embeddings[matched], labels[matched]
        drawn = torch.randperm(len(self.unseen), device=self.unseen.device)
        drawn = self.unseen[drawn[: self.num_unseen_classes]].repeat(self.num_per_unseen_class)
        generator = None
        if isinstance(self.generator, RidgeGenerator):
            self.generator.observe(real, real_labels)
            (added,) = self.synthetic(tokens, drawn)
        else:
            synthetic, unseen, added = self.synthetic(tokens, real_labels, self.unseen, drawn)
            generator = self.generator_step(tokens, synthetic, unseen, real, real_labels)
        classifier = self.classifier_step(embeddings, labels, added, drawn)
        classifier = classifier._replace(no_object_share=no_object_share)
        return self.zero_shot_criterion(generator, classifier)

    def semantic_tokens(self) -> Tensor:
        """(K, C) the class vectors, projected for the generator where that is a network."""
        return self.semantic_projection(self.class_vectors)

    def synthetic(self, tokens: Tensor, *labels: Tensor) -> tuple[Tensor, ...]:
        """Synthetic embeddings (n, C) for each of several lists of classes (n,).

        Together: so small a network takes its time by calls, not by rows.

        Args:
            tokens: (K, C) semantic tokens.
            labels: int64 in [0, K).
        """
        return self.generator(tokens[torch.cat(labels)]).split([len(x) for x in labels])

    def generator_step(
        self, tokens: Tensor, synthetic: Tensor, unseen: Tensor, real: Tensor, labels: Tensor
    ) -> GeneratorStep:
        """Judge synthetic embeddings by the real ones, and disentangle them.

        Args:
            tokens: (K, C) semantic tokens.
            synthetic: (N, C) of the same classes as the real ones.
            unseen: (U, C) synthetic embeddings of the unseen classes.
            real: (N, C) matched embeddings.
            labels: (N,) int64, seen classes.
        """
        weight, bias = self.classifier.weight.detach(), self.classifier.bias.detach()
        groups = None
        if self.disentangler is not None:
            shown = torch.cat((synthetic, real.to(synthetic.dtype))) if self.both else synthetic
            groups = disentangled(
                self.disentangler,
                tokens,
                (shown, labels.repeat(1 + self.both), self.seen),
                (unseen, self.unseen, self.unseen),
            )
        return GeneratorStep(
            synthetic=synthetic,
            real=real,
            guiding_logits=F.linear(synthetic, weight[self.guiding], bias[self.guiding]),
            guiding_labels=torch.searchsorted(self.guiding, labels),
            groups=groups,
        )

    def classifier_step(
        self, embeddings: Tensor, labels: Tensor, synthetic: Tensor, drawn: Tensor
    ) -> ClassifierStep:
        """Classify real and synthetic embeddings, without a gradient of either.

        Args:
            embeddings: (R, C) real embeddings.
            labels: (R,) int64 in [0, K].
            synthetic: (D, C) embeddings of unseen classes.
            drawn: (D,) int64, those classes.
        """
        added = synthetic.detach().to(embeddings.dtype)
        return ClassifierStep(
            logits=self.classifier(torch.cat((embeddings, added))),
            labels=torch.cat((labels, drawn)),
            unseen=self.unseen,
        )
