"""Stage 1: Mask2Former (Cheng et al., CVPR 2022), trained on the seen classes of a split."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.postprocessing import sem_seg_postprocess
from torch import Tensor, nn

from pading.checkpoint.published_names import THEIRS, NameTable
from pading.errors import InputError
from pading.inference.bands import Enlarged, make
from pading.inference.calibration import calibrated
from pading.inference.instance import InstancePart
from pading.inference.panoptic import PanopticPart
from pading.inference.query_scores import class_scores
from pading.inference.semantic import SemanticPart
from pading.layers.packed import pack_convolutions, packed_dtype
from pading.layers.pixel_decoder import PixelDecoder
from pading.layers.transformer_decoder import TransformerDecoder
from pading.losses.set_criterion import SetCriterion
from pading.models.base import SegmentationModel
from pading.models.class_head import CLASS_HEAD, check_rows, head_classes, head_hint
from pading.models.other_vectors import other_vectors
from pading.models.parameter_groups import ParameterGroups, groups_by_kind
from pading.models.second_opinion import SecondOpinion
from pading.models.segmenter_checks import check_segmenter
from pading.structures import ImageSizes, MaskTargets, QueryPredictions, prepare_targets
from pading.vocabulary.splits import ClassSplit

_HEAD = "sem_seg_head."


@META_ARCH_REGISTRY.register()
class Mask2Former(SegmentationModel):
    """Backbone, pixel decoder and masked-attention decoder; wiring only.

    With ``classes="seen"`` the class head knows the seen classes alone, and every unseen class
    scores 0.
    """

    published_names = NameTable(
        # The class weights of a loss: theirs come from the configuration, and ours need no buffer.
        pairs=(("criterion.", THEIRS + "criterion."),),
        # Of Mask2Former's first checkpoints.
        older=(
            (_HEAD + "predictor.static_query.", _HEAD + "predictor.query_feat."),
            *(
                (_HEAD + part, f"{_HEAD}pixel_decoder.{part}")
                for part in ("input_proj.", "transformer.", "mask_features.", "adapter_", "layer_")
            ),
        ),
    )
    beside_backbone = (_HEAD,)
    unused_settings = {"SOLVER.GENERATOR_LR": "stage 1 has no generator"}

    head_rows: Tensor
    trainable: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: nn.Module,
        pixel_decoder: nn.Module,
        predictor: nn.Module,
        criterion: SetCriterion,
        classes: str,
        second_opinion: SecondOpinion | None = None,
        **common: Any,
    ) -> None:
        """
        Args:
            backbone: images to feature maps by name.
            pixel_decoder: feature maps to :class:`~pading.layers.pixel_decoder.PixelFeatures`.
            predictor: those to :class:`~pading.structures.QueryPredictions`.
            criterion: (predictions, targets) to a dictionary of losses.
            classes: which classes the class head knows: "seen" or "all".
            second_opinion: what else is asked for the classes of segments.
            common: see :class:`~pading.models.base.SegmentationModel`.
        """
        super().__init__(**common)
        pack_convolutions(backbone)
        self.backbone = backbone
        self.sem_seg_head = nn.ModuleDict({"pixel_decoder": pixel_decoder, "predictor": predictor})
        self.criterion = criterion
        self.classes = classes
        self.second_opinion = second_opinion  # no module: its weights are not this one's
        self.set_rows()

    def set_rows(self) -> None:
        """Lay down which row of the class head stands for which class of the split."""
        split = self.split
        known = head_classes(split, self.classes)
        # Row of the class head for each class of the split, -1 for none; no-object is last in both.
        rows = torch.full((split.num_classes + 1,), -1)
        rows[[*known, split.num_classes]] = torch.arange(len(known) + 1)
        rows = rows.to(self.device)
        self.register_buffer("head_rows", rows, persistent=False)
        # Classes that may occur in training.
        self.register_buffer("trainable", rows[:-1] >= 0, persistent=False)
        zsi = self.inference.instance_setting == "zsi"
        self.instance_candidates = split.unseen if zsi else None

    @classmethod
    def from_config(
        cls, cfg: CfgNode, split: ClassSplit, class_vectors: Tensor | None = None
    ) -> dict[str, Any]:
        backbone = build_backbone(cfg)
        known = head_classes(split, cfg.MODEL.SEGMENTER.CLASSES)
        return super().from_config(cfg, split, class_vectors) | {
            "backbone": backbone,
            "pixel_decoder": PixelDecoder(cfg, backbone.output_shape()),
            "predictor": TransformerDecoder(cfg, len(known) + 1),
            "criterion": SetCriterion(cfg),
            "classes": cfg.MODEL.SEGMENTER.CLASSES,
            "second_opinion": SecondOpinion.from_config(cfg, split),
            "size_divisibility": cfg.MODEL.SEGMENTER.SIZE_DIVISIBILITY,
        }

    @classmethod
    def check(cls, cfg: CfgNode, split: ClassSplit) -> None:
        super().check(cfg, split)
        check_segmenter(cfg)

    def parameter_groups(self, cfg: CfgNode) -> dict[str, ParameterGroups]:
        return {"segmenter": ParameterGroups(groups_by_kind(self, cfg))}

    def shape_hint(self, name: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> str:
        return head_hint(name, theirs, ours)

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> list[str]:
        weights = checkpoint["model"]
        warnings = check_rows(checkpoint, self.split)
        rows = [weights.get(CLASS_HEAD + name) for name in ("weight", "bias")]
        if all(row is not None and not row[-1].any() for row in rows):
            warnings.append(
                "the class head's row of no-object is zero, as the published converter leaves it "
                "(it copies that row to the first unseen class); convert the stage-1 checkpoint "
                "with tools/preprocess_pretrained_weight.py instead"
            )
        return [*warnings, *other_vectors(checkpoint, self.class_vectors)]

    def look(self, batch: list[dict]) -> tuple[QueryPredictions, ImageSizes]:
        outputs, sizes = super().look(batch)
        if self.second_opinion is not None:
            second = self.second_opinion.asked(batch, outputs.masks, sizes)
            outputs = dataclasses.replace(outputs, second=second)
        return outputs, sizes

    def network(self, images: Tensor) -> QueryPredictions:
        """(B, 3, H, W) to what is said of every query; ``logits`` are what classifies them."""
        predictions = self.segment(images)
        return dataclasses.replace(predictions, logits=self.class_logits(predictions))

    def segment(self, images: Tensor) -> QueryPredictions:
        """Everything from pixels to queries; ``logits`` are those of the segmenter's class head."""
        if self.training and images.device.type == "cpu":
            # In which convolutions and their gradients take less time: a twentieth of a step.
            images = images.contiguous(memory_format=torch.channels_last)
        features = self.backbone(images)
        pixel_decoder: Any = self.sem_seg_head["pixel_decoder"]
        apart = packed_dtype(images) is not None
        pixels = pixel_decoder(features, project=not apart)
        projection = pixel_decoder.mask_features if apart else None
        predictor: Any = self.sem_seg_head["predictor"]
        predictions = predictor(pixels.multi_scale, pixels.mask_features, projection)
        return self.with_backbone(predictions, features)

    def with_backbone(
        self, predictions: QueryPredictions, features: Mapping[str, Tensor]
    ) -> QueryPredictions:
        """Queries with what maps (B, C, h, w) of the backbone add to them: here, nothing."""
        return predictions

    def class_logits(self, predictions: QueryPredictions) -> Tensor:
        """(B, Q, outputs of the class head): what classifies the queries."""
        return predictions.logits

    def named_outputs(self, outputs: QueryPredictions) -> dict[str, Tensor]:
        return {"logits": outputs.logits, "masks": outputs.masks}

    def reading(self) -> dict[str, Any]:
        """``rows``: of the class head for each class and no-object, -1 for none.

        Raises:
            InputError: there is a second opinion, which is another network.
        """
        if self.second_opinion is not None:
            raise InputError(
                "MODEL.INFERENCE.SECOND_OPINION.WEIGHTS is another network, which is not exported "
                "with this one; leave it empty"
            )
        candidates = self.instance_candidates
        return {"outputs": "queries", "rows": self.head_rows.tolist(), "candidates": candidates}

    def targets(self, batch: Sequence[Mapping[str, Any]], sizes: ImageSizes) -> list[MaskTargets]:
        """Ground truth at the padded size, labelled by rows of the class head."""
        targets = prepare_targets(batch, sizes.padded, self.device)
        for image, target in zip(batch, targets, strict=True):
            unknown = ~self.trainable[target.labels]
            if unknown.any():
                name = self.split.names[int(target.labels[unknown][0])]
                raise InputError(
                    f"{image.get('file_name', 'image')}: a segment of the unseen class {name!r} in "
                    "training; use the seen-only training file that the preparation script of the "
                    "data set makes"
                )
            target.labels = self.head_rows[target.labels]
        return targets

    def losses(
        self, outputs: QueryPredictions, targets: Sequence[MaskTargets]
    ) -> dict[str, Tensor]:
        logits = None
        if self.criterion.segment_weight:
            predictor: Any = self.sem_seg_head["predictor"]
            logits = predictor.segment_logits(outputs.features, [t.masks for t in targets])
        return self.criterion(outputs, targets, logits)

    def results(self, outputs: QueryPredictions, sizes: ImageSizes) -> list[dict]:
        seconds = [None] * len(sizes.images) if outputs.second is None else outputs.second
        return [
            self._result(
                self._all_class_scores(logits.detach(), second),
                masks.detach(),
                *(sizes.padded, image, wanted),
            )
            for logits, masks, second, image, wanted in zip(
                outputs.logits, outputs.masks, seconds, sizes.images, sizes.wanted, strict=True
            )
        ]

    def _result(
        self,
        scores: Tensor,
        masks: Tensor,
        padded: tuple[int, int],
        size: tuple[int, int],
        wanted: tuple[int, int],
    ) -> dict[str, Any]:
        """Results of one image.

        Args:
            scores: (Q, K + 1) class scores.
            masks: (Q, h, w) mask logits.
            padded, size, wanted: see :class:`~pading.structures.ImageSizes`.
        """
        settings, tasks = self.inference, self.inference.tasks
        parts: dict[str, Any] = {}
        if "panoptic" in tasks:
            parts["panoptic"] = PanopticPart(
                scores,
                wanted,
                self.split.things,
                settings.score_threshold,
                settings.overlap_threshold,
            )
        if "instance" in tasks:
            # Beside panoptic results, stuff is no instance.
            classes = self.split.things if "panoptic" in tasks else None
            parts["instance"] = InstancePart(
                scores, wanted, settings.max_instances, classes, self.instance_candidates
            )
        if tasks == ("semantic",):
            # Mixed before resizing where nothing else is asked for, as published.
            mixed = SemanticPart(scores, padded)
            make([mixed], Enlarged.to(masks.float(), padded, padded, padded))
            return {"sem_seg": sem_seg_postprocess(mixed.result, size, *wanted)}
        if "semantic" in tasks:
            parts["semantic"] = SemanticPart(scores, wanted)
        make(list(parts.values()), Enlarged.to(masks.float(), padded, size, wanted))
        result: dict[str, Any] = {}
        if "semantic" in tasks:
            result["sem_seg"] = parts["semantic"].result
        if "panoptic" in tasks:
            ids, segments, result["panoptic_scores"] = parts["panoptic"].result
            result["panoptic_seg"] = ids, segments
        if "instance" in tasks:
            result["instances"] = parts["instance"].result
        return result

    def _all_class_scores(self, logits: Tensor, second: Tensor | None) -> Tensor:
        """(Q, outputs of the class head) logits -> (Q, K + 1) scores, the seen ones calibrated."""
        scores = class_scores(logits)
        known = self.head_rows >= 0
        scores = scores[:, self.head_rows.clamp_min(0)] * known
        if self.second_opinion is not None and second is not None:
            scores = self.second_opinion.mixed(scores, second)
        return calibrated(scores, self.split.seen, self.inference.seen_bias)
