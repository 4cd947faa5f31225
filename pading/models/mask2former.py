"""Stage 1: Mask2Former (Cheng et al., CVPR 2022), trained on the seen classes of a split."""

from contextlib import nullcontext
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.postprocessing import sem_seg_postprocess
from detectron2.structures import ImageList
from torch import Tensor, nn
from torch.nn import functional as F

from pading.checkpoint.matching import LoadsWhole
from pading.data.catalogue import split_of
from pading.data.tasks import instance_setting, tasks_of
from pading.errors import InputError
from pading.inference.queries import (
    class_scores,
    confident_queries,
    instance_inference,
    panoptic_inference,
    semantic_inference,
)
from pading.layers.pixel_decoder import PixelDecoder
from pading.layers.precision import autocast, inference_dtype
from pading.layers.transformer_decoder import TransformerDecoder
from pading.losses.set_criterion import SetCriterion
from pading.structures import MaskTargets, QueryPredictions, prepare_targets
from pading.vocabulary.splits import ClassSplit


@META_ARCH_REGISTRY.register()
class Mask2Former(LoadsWhole):
    """Backbone, pixel decoder and masked-attention decoder; wiring only.

    Labels that come in and classes that go out are always contiguous indices of the full split.
    With ``classes="seen"`` the class head knows the seen classes alone, and every unseen class
    scores 0.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
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
        split: ClassSplit,
        classes: str,
        size_divisibility: int,
        pixel_mean: list[float],
        pixel_std: list[float],
        tasks: dict[str, bool],
        score_threshold: float,
        overlap_threshold: float,
        max_instances: int,
        instance_setting: str = "gzsi",
        inference_dtype: torch.dtype | None = None,
    ) -> None:
        """
        Args:
            backbone: images to feature maps by name.
            pixel_decoder: feature maps to :class:`~pading.layers.pixel_decoder.PixelFeatures`.
            predictor: those to :class:`~pading.layers.transformer_decoder.Predictions`.
            criterion: (predictions, targets) to a dictionary of losses.
            split: the classes; fixes the order of everything.
            classes: which of them the class head knows: "seen" or "all".
            size_divisibility: images are padded to multiples of this many pixels.
            pixel_mean, pixel_std: normalisation per channel, in the order of the input's channels.
            tasks: which of "panoptic", "instance" and "semantic" results to give.
            score_threshold, overlap_threshold: of the panoptic inference.
            max_instances: of the instance inference.
            instance_setting: classes that instances may have: "gzsi", all, or "zsi", the unseen.
            inference_dtype: type of mixed precision at inference; None: as the caller has it.
        """
        super().__init__()
        self.backbone = backbone
        self.sem_seg_head = nn.ModuleDict({"pixel_decoder": pixel_decoder, "predictor": predictor})
        self.criterion = criterion
        self.split = split
        self.size_divisibility = size_divisibility
        self.tasks = tasks
        self.score_threshold = score_threshold
        self.overlap_threshold = overlap_threshold
        self.max_instances = max_instances
        self.inference_dtype = inference_dtype
        self.instance_candidates = split.unseen if instance_setting == "zsi" else None
        mean, std = torch.tensor(pixel_mean).view(-1, 1, 1), torch.tensor(pixel_std).view(-1, 1, 1)
        self.register_buffer("pixel_mean", mean, persistent=False)
        self.register_buffer("pixel_std", std, persistent=False)
        known = head_classes(split, classes)
        # Row of the class head for each class of the split, -1 for none; no-object is last in both.
        rows = torch.full((split.num_classes + 1,), -1)
        rows[[*known, split.num_classes]] = torch.arange(len(known) + 1)
        self.register_buffer("head_rows", rows, persistent=False)
        # Classes that may occur in training.
        self.register_buffer("trainable", rows[:-1] >= 0, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        split = split_of([*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST])
        backbone = build_backbone(cfg)
        known = head_classes(split, cfg.MODEL.SEGMENTER.CLASSES)
        inference = cfg.MODEL.INFERENCE
        return {
            "backbone": backbone,
            "pixel_decoder": PixelDecoder(cfg, backbone.output_shape()),
            "predictor": TransformerDecoder(cfg, len(known) + 1),
            "criterion": SetCriterion(cfg),
            "split": split,
            "classes": cfg.MODEL.SEGMENTER.CLASSES,
            "size_divisibility": cfg.MODEL.SEGMENTER.SIZE_DIVISIBILITY,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "tasks": tasks_of(cfg),
            "score_threshold": inference.OBJECT_SCORE_THRESHOLD,
            "overlap_threshold": inference.OVERLAP_THRESHOLD,
            "max_instances": cfg.TEST.DETECTIONS_PER_IMAGE,
            "instance_setting": instance_setting(cfg),
            "inference_dtype": inference_dtype(cfg),
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batch: list[dict]) -> dict[str, Tensor] | list[dict]:
        """
        Args:
            batch: Detectron2's dictionaries: ``image`` (3, H, W) in [0, 255], and in training
                ``instances`` with ``gt_classes`` and ``gt_masks``; ``height`` and ``width`` say at
                what size results are wanted.

        Returns:
            in training, losses by name; else for every image the results of the tasks that are on:
            ``panoptic_seg``, ``instances``, ``sem_seg``, in Detectron2's formats.
        """
        images = self.preprocess(batch)
        if self.training:
            predictions = self.segment(images)
            return self.criterion(predictions, self.targets(batch, images))
        dtype = self.inference_dtype
        with autocast(self.device, dtype) if dtype else nullcontext():
            predictions = self.segment(images)
            logits = self.class_logits(predictions)
        with autocast(self.device, None):
            return self.results(batch, images, logits, predictions.masks)

    def preprocess(self, batch: list[dict]) -> ImageList:
        """Normalise the images and pad them to one size."""
        normalised = [
            (x["image"].to(self.device) - self.pixel_mean) / self.pixel_std for x in batch
        ]
        return ImageList.from_tensors(normalised, self.size_divisibility)

    def segment(self, images: ImageList) -> QueryPredictions:
        """Everything from pixels to queries."""
        features = self.backbone(images.tensor)
        pixel_features = self.sem_seg_head["pixel_decoder"](features)
        return self.sem_seg_head["predictor"](
            pixel_features.multi_scale, pixel_features.mask_features
        )

    def class_logits(self, predictions: QueryPredictions) -> Tensor:
        """(B, Q, outputs of the class head): what classifies the queries at inference."""
        return predictions.logits

    def targets(self, batch: list[dict], images: ImageList) -> list[MaskTargets]:
        """Ground truth at the padded size, labelled by rows of the class head."""
        targets = prepare_targets(batch, images.tensor.shape[-2:], self.device)
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

    def results(
        self, batch: list[dict], images: ImageList, logits: Tensor, masks: Tensor
    ) -> list[dict]:
        """Results for every image at the size that its dictionary asks for.

        Args:
            logits: (B, Q, outputs of the class head).
            masks: (B, Q, h, w) mask logits.
        """
        padded = images.tensor.shape[-2:]
        out = []
        for image, size, image_logits, image_masks in zip(
            batch, images.image_sizes, logits, masks, strict=True
        ):
            scores = self._all_class_scores(image_logits)
            if self.tasks["panoptic"] and not (self.tasks["semantic"] or self.tasks["instance"]):
                # Masks are large at an image's size: those that do not count are left out before.
                kept = confident_queries(scores, self.score_threshold)
                kept[0] |= ~kept.any()  # no mask at all cannot be resized
                scores, image_masks = scores[kept], image_masks[kept]
            upsampled = F.interpolate(
                image_masks[None].float(), padded, mode="bilinear", align_corners=False
            )[0]
            wanted = image.get("height", size[0]), image.get("width", size[1])
            at_size = sem_seg_postprocess(upsampled, size, *wanted)
            result: dict[str, Any] = {}
            if self.tasks["semantic"]:
                # Mixed before resizing where nothing else is asked for, as published.
                if self.tasks["panoptic"] or self.tasks["instance"]:
                    result["sem_seg"] = semantic_inference(scores, at_size)
                else:
                    sem_seg = semantic_inference(scores, upsampled)
                    result["sem_seg"] = sem_seg_postprocess(sem_seg, size, *wanted)
            if self.tasks["panoptic"]:
                result["panoptic_seg"] = panoptic_inference(
                    scores, at_size, self.split.things, self.score_threshold, self.overlap_threshold
                )
            if self.tasks["instance"]:
                # Beside panoptic results, stuff is no instance.
                classes = self.split.things if self.tasks["panoptic"] else None
                result["instances"] = instance_inference(
                    scores, at_size, self.max_instances, classes, self.instance_candidates
                )
            out.append(result)
        return out

    def _all_class_scores(self, logits: Tensor) -> Tensor:
        """(Q, outputs of the class head) logits -> (Q, K + 1) probabilities."""
        scores = class_scores(logits)
        known = self.head_rows >= 0
        return scores[:, self.head_rows.clamp_min(0)] * known


def head_classes(split: ClassSplit, classes: str) -> tuple[int, ...]:
    """Contiguous indices of the classes that a class head knows, in the order of its rows.

    Raises:
        InputError: ``classes`` is neither "seen" nor "all".
    """
    if classes == "seen":
        return split.seen
    if classes == "all":
        return tuple(range(split.num_classes))
    raise InputError(f'MODEL.SEGMENTER.CLASSES is {classes!r}; use "seen" or "all"')
