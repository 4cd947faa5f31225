"""Stage 2: PADing (He, Ding, Jiang, CVPR 2023).

The segmenter is frozen; a generator synthesises embeddings of unseen classes, and the classifier is
retrained on them and on real ones.
"""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from pading.errors import InputError
from pading.models.mask2former import Mask2Former
from pading.models.pading.disentanglement import Disentangler, Parts
from pading.models.pading.generator import build_generator
from pading.models.pading.memory import EmbeddingMemory
from pading.models.pading.steps import ClassifierStep, GeneratorStep, Group
from pading.models.pading.zero_shot_criterion import ZeroShotCriterion
from pading.structures import QueryPredictions
from pading.vocabulary.class_vectors import load_class_vectors
from pading.vocabulary.splits import ClassSplit

_PUBLISHED_CUT = 156


@META_ARCH_REGISTRY.register()
class PADing(Mask2Former):
    """The segmenter, frozen, with a generator and a classifier of its own; wiring only."""

    # Published checkpoints carry no vectors, and those that stage 2 starts from end with the
    # classifier.
    initialised_afresh = (
        ("class_vectors",),
        ("semantic_projection.", "generator.", "disentangler."),
        ("memory.",),
    )

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
        zero_shot_criterion: nn.Module,
        generator_class_logits: str,
        structure_source: str,
        num_unseen_classes: int,
        num_per_unseen_class: int,
        memory_size: int,
        dim: int,
        **segmenter,
    ) -> None:
        """
        Args:
            class_vectors: (K, d) semantic vectors in the order of the split.
            generator: semantic tokens (N, C) to synthetic embeddings (N, C).
            disentangler: None switches disentanglement and alignment off.
            zero_shot_criterion: :class:`GeneratorStep` and :class:`ClassifierStep` to losses.
            generator_class_logits: the logits that guide the generator: "seen" classes', or
                "first_156" as in the published code.
            structure_source: embeddings to disentangle and align: "synthetic", or "both" those and
                the real ones.
            num_unseen_classes: how many unseen classes, at most, the classifier sees in a step.
            num_per_unseen_class: synthetic embeddings of each class drawn.
            memory_size: real embeddings of each class that the checkpoint carries.
            dim: width C of an embedding.
            segmenter: see :class:`Mask2Former`; its class head knows all classes.
        """
        super().__init__(**segmenter)
        if structure_source not in ("synthetic", "both"):
            raise InputError(
                f"MODEL.ZERO_SHOT.STRUCTURE_SOURCE is {structure_source!r}; "
                'use "synthetic" or "both"'
            )
        split = self.split
        check_unseen(split)
        self.register_buffer("class_vectors", class_vectors)
        self.register_buffer("seen", torch.tensor(split.seen), persistent=False)
        self.register_buffer("unseen", torch.tensor(split.unseen), persistent=False)
        guiding = torch.tensor(guiding_classes(split, generator_class_logits))
        self.register_buffer("guiding", guiding, persistent=False)
        # The class head knows them, but training must not show them.
        self.trainable[self.unseen] = False
        self.structure_source = structure_source
        self.num_unseen_classes = min(num_unseen_classes, split.num_unseen)
        self.num_per_unseen_class = num_per_unseen_class
        self.classifier = nn.Linear(dim, split.num_classes + 1)
        self.semantic_projection = nn.Linear(class_vectors.shape[1], dim)
        self.generator = generator
        self.disentangler = disentangler
        self.memory = EmbeddingMemory(split.num_classes, memory_size, dim)
        self.zero_shot_criterion = zero_shot_criterion
        for part in (self.backbone, self.sem_seg_head):
            part.requires_grad_(False)
        self.train()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        if cfg.MODEL.SEGMENTER.CLASSES != "all":
            raise InputError(
                'MODEL.SEGMENTER.CLASSES must be "all" for MODEL.META_ARCHITECTURE PADing: '
                "tools/preprocess_pretrained_weight.py grows the class head of a stage-1 checkpoint"
            )
        arguments = super().from_config(cfg)
        z, dim = cfg.MODEL.ZERO_SHOT, cfg.MODEL.SEGMENTER.HIDDEN_DIM
        vectors = load_class_vectors(cfg.MODEL.CLASS_VECTORS, arguments["split"])
        return arguments | {
            "class_vectors": torch.as_tensor(vectors),
            "generator": build_generator(cfg),
            "disentangler": Disentangler(dim, z.STRUCTURE_DROPOUT) if z.STRUCTURE_WEIGHT else None,
            "zero_shot_criterion": ZeroShotCriterion(cfg),
            "generator_class_logits": z.GENERATOR_CLASS_LOGITS,
            "structure_source": z.STRUCTURE_SOURCE,
            "num_unseen_classes": z.NUM_UNSEEN_CLASSES,
            "num_per_unseen_class": z.NUM_PER_UNSEEN_CLASS,
            "memory_size": z.MEMORY,
            "dim": dim,
        }

    def train(self, mode: bool = True) -> "PADing":
        """Set the training mode; the frozen segmenter stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        self.sem_seg_head.eval()
        return self

    def forward(self, batch: list[dict] | dict[str, Any]) -> dict[str, Tensor] | list[dict]:
        """As :meth:`Mask2Former.forward`; in training the losses are those of stage 2.

        In training ``batch`` may also hold what :meth:`zero_shot_losses` takes, by name.
        """
        if isinstance(batch, dict):
            return self.zero_shot_losses(**batch)
        if not self.training:
            return super().forward(batch)
        return self.zero_shot_losses(*self.labelled_embeddings(batch))

    def class_logits(self, predictions: QueryPredictions) -> Tensor:
        return self.classifier(predictions.embeddings)

    @torch.no_grad()
    def labelled_embeddings(self, batch: list[dict]) -> tuple[Tensor, Tensor]:
        """What stage 2 learns from: embeddings of all queries and the classes of their segments.

        Returns:
            (B * Q, C) embeddings, and (B * Q,) int64 labels in [0, K], where K is no-object.
        """
        images = self.preprocess(batch)
        predictions = self.segment(images)
        labels = self.criterion.query_labels(predictions, self.targets(batch, images))
        return predictions.embeddings.flatten(0, 1), labels.flatten()

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
        synthetic, unseen, added = self.synthetic(tokens, real_labels, self.unseen, drawn)
        generator = self.generator_step(tokens, synthetic, unseen, real, real_labels)
        classifier = self.classifier_step(embeddings, labels, added, drawn)
        classifier = classifier._replace(no_object_share=no_object_share)
        return self.zero_shot_criterion(generator, classifier)

    def semantic_tokens(self) -> Tensor:
        """(K, C) the class vectors, projected to the width of an embedding."""
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
            groups = self._groups(self.disentangler, tokens, synthetic, unseen, real, labels)
        return GeneratorStep(
            synthetic=synthetic,
            real=real,
            guiding_logits=F.linear(synthetic, weight[self.guiding], bias[self.guiding]),
            guiding_labels=torch.searchsorted(self.guiding, labels),
            groups=groups,
        )

    def _groups(
        self,
        disentangler: Disentangler,
        tokens: Tensor,
        synthetic: Tensor,
        unseen: Tensor,
        real: Tensor,
        labels: Tensor,
    ) -> tuple[Group, Group]:
        """Disentangle synthetic embeddings (and real ones, if asked for) of seen and unseen."""
        seen, seen_labels = synthetic, torch.searchsorted(self.seen, labels)
        if self.structure_source == "both":
            seen = torch.cat((synthetic, real.to(synthetic.dtype)))
            seen_labels = seen_labels.repeat(2)
        sizes = [len(seen), len(unseen)]
        parts = disentangler(torch.cat((seen, unseen)))
        mine, others = (Parts(*p) for p in zip(*(x.split(sizes) for x in parts), strict=True))
        unseen_labels = torch.arange(len(unseen), device=unseen.device)
        return (
            _group(disentangler, seen, seen_labels, tokens[self.seen], mine),
            _group(disentangler, unseen, unseen_labels, tokens[self.unseen], others),
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


def check_unseen(split: ClassSplit) -> None:
    """Refuse a split that leaves stage 2 nothing to learn.

    Raises:
        InputError: no class is unseen.
    """
    if not split.unseen:
        raise InputError(
            f"split {split.name}: no class is unseen, so stage 2 has nothing to learn; mark "
            "classes as unseen in the split, or train stage 1 alone"
        )


def guiding_classes(split: ClassSplit, choice: str) -> tuple[int, ...]:
    """Outputs of the classifier, ascending, that guide the generator (METHOD: L_cls).

    Args:
        choice: "seen", or "first_156" for the published code's slip: it cuts the logits at 156
            whatever the data, which is right for COCO-Stuff 156/15 alone.

    Raises:
        InputError: another choice, or one that leaves out a seen class.
    """
    if choice == "seen":
        return split.seen
    if choice != "first_156":
        raise InputError(
            f'MODEL.ZERO_SHOT.GENERATOR_CLASS_LOGITS is {choice!r}; use "seen" or "first_156"'
        )
    if split.seen[-1] >= _PUBLISHED_CUT:
        raise InputError(
            f"MODEL.ZERO_SHOT.GENERATOR_CLASS_LOGITS first_156: the seen class "
            f"{split.names[split.seen[-1]]!r} of split {split.name} is not among them; "
            'use "seen"'
        )
    return tuple(range(min(_PUBLISHED_CUT, split.num_classes + 1)))


def _group(
    disentangler: Disentangler, embeddings: Tensor, labels: Tensor, tokens: Tensor, parts: Parts
) -> Group:
    return Group(
        embeddings=embeddings,
        labels=labels,
        parts=parts,
        relation_scores=disentangler.relation_scores(parts.related, tokens),
        tokens=tokens[labels],
        noise=torch.randn_like(parts.unrelated, dtype=torch.float32),
    )
