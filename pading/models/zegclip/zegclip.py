"""ZegCLIP (Zhou et al., CVPR 2023, arXiv 2212.03588): CLIP's image tower turned to pixels.

The tower stays as it is; prompts beside its tokens are learned, and a light decoder whose queries
are class texts. Every class has a mask of its own; classes do not compete. Texts are encoded when
class vectors are built, never here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from torch import Tensor
from torch.nn import functional as F

from pading.backbones.clip_image import ClipImageTower, build_clip_image_tower
from pading.errors import InputError
from pading.inference.views import look_at
from pading.inference.windows import at_size
from pading.layers.precision import autocast
from pading.losses.dice_labels import dice_label_loss, present_pairs
from pading.losses.focal import focal_loss
from pading.losses.pixel_cross_entropy import UNLABELLED, label_rows
from pading.losses.processes import mean_over_processes
from pading.models.pixel_classifier import PixelClassifier
from pading.models.zegclip.class_mask_decoder import ClassMaskDecoder, SmallMasks
from pading.models.zegclip.deep_prompts import DeepPrompts
from pading.models.zegclip.pseudo_labels import labelled_by_scores, labelled_where_unlabelled
from pading.models.zegclip.settings_checks import (
    check_same_unseen,
    check_self_training,
    check_sizes,
)
from pading.models.zegclip.zegclip_names import ZEGCLIP_NAMES
from pading.structures import ImageSizes
from pading.vocabulary.splits import ClassSplit

# Published vectors were stored in float16: of unit length to about this, and used as they are.
_UNIT = 2e-3


@META_ARCH_REGISTRY.register()
class ZegCLIP(PixelClassifier):
    """Images to one mask per class."""

    published_names = ZEGCLIP_NAMES
    initialised_afresh = (("class_vectors",),)
    beside_backbone = ("head.", "prompts.")
    activation = "sigmoid"
    averaged = "probabilities"
    takes_some_classes = True

    @configurable
    def __init__(
        self,
        *,
        backbone: ClipImageTower,
        prompts: DeepPrompts | None,
        head: ClassMaskDecoder,
        setting: str = "inductive",
        unseen_pixels: str = "annotated",
        tune: str = "prompts",
        class_embeddings: int = 2,
        focal_weight: float = 100.0,
        dice_weight: float = 1.0,
        void_is_negative: bool = True,
        **base: Any,
    ) -> None:
        """
        Args:
            backbone: CLIP's image tower.
            prompts: of the tower; None: none.
            head: the decoder.
            setting: "inductive", "transductive" or "supervised"; decides what is asked in training.
            unseen_pixels: transductive: "annotated" or "unlabelled".
            tune: "prompts" or "all" of the tower.
            class_embeddings: how often the class embedding is added to its position.
            focal_weight, dice_weight: of the losses.
            void_is_negative: unlabelled pixels are negatives of every class; else nothing.
            base: see :class:`~pading.models.base.SegmentationModel`.
        """
        super().__init__(**base)
        self.backbone = backbone.requires_grad_(tune == "all")
        self.tune, self.prompts = tune, prompts
        self.head = head
        self.setting, self.unseen_pixels = setting, unseen_pixels
        self.class_embeddings = class_embeddings
        self.focal_weight, self.dice_weight = focal_weight, dice_weight
        self.void_is_negative = void_is_negative

    @classmethod
    def from_config(
        cls, cfg: CfgNode, split: ClassSplit, class_vectors: Tensor | None = None
    ) -> dict[str, Any]:
        section = cfg.MODEL.ZEGCLIP
        tower: Any = build_backbone(cfg)
        shape = tower.shape
        check_sizes(cfg, shape, class_vectors)
        prompts = None
        if section.PROMPTS:
            sizes = (section.PROMPTS, section.PROMPT_DEPTH, shape.width, shape.patch_size)
            prompts = DeepPrompts(*sizes, section.PROMPT_DROPOUT)
        head = ClassMaskDecoder(
            shape.embed_dim,
            section.DECODER_LAYERS,
            section.DECODER_HEADS,
            section.DECODER_FFN_DIM,
            section.DROPOUT,
            section.DESCRIPTOR,
            section.UNIT_GAIN,
            section.PRIOR,
        )
        return {
            **super().from_config(cfg, split, class_vectors),
            "backbone": tower,
            "prompts": prompts,
            "head": head,
            "setting": section.SETTING,
            "unseen_pixels": section.UNSEEN_PIXELS,
            "tune": section.TUNE,
            "class_embeddings": {"twice": 2, "once": 1}[section.CLASS_EMBEDDING],
            "focal_weight": section.FOCAL_WEIGHT,
            "dice_weight": section.DICE_WEIGHT,
            "void_is_negative": section.VOID == "negative",
        }

    @classmethod
    def check(cls, cfg: CfgNode, split: ClassSplit) -> None:
        super().check(cfg, split)
        if build_clip_image_tower.__name__ != cfg.MODEL.BACKBONE.NAME:
            raise InputError(
                f"MODEL.BACKBONE.NAME is {cfg.MODEL.BACKBONE.NAME!r}; ZegCLIP stands on CLIP's "
                f"image tower, {build_clip_image_tower.__name__!r}"
            )
        if cfg.MODEL.ZEGCLIP.SETTING == "transductive" and not split.unseen:
            raise InputError(
                f"MODEL.ZEGCLIP.SETTING is 'transductive', but no class of {split.name!r} is "
                "unseen; take 'supervised'"
            )

    @classmethod
    def check_training(cls, cfg: CfgNode, processes: int) -> None:
        super().check_training(cfg, processes)
        check_self_training(cfg)

    @classmethod
    def learns_unseen(cls, cfg: CfgNode) -> bool:
        """Where unseen pixels are, transductive; which classes they are, supervised."""
        section = cfg.MODEL.ZEGCLIP
        annotated = section.SETTING == "transductive" and section.UNSEEN_PIXELS == "annotated"
        return annotated or section.SETTING == "supervised"

    @classmethod
    def identity(cls, cfg: CfgNode) -> dict[str, Any]:
        return {"MODEL.ZEGCLIP.SETTING": cfg.MODEL.ZEGCLIP.SETTING}

    def described(self) -> dict[str, Any]:
        """``setting`` beside the split: what it was trained for."""
        return {**super().described(), "setting": self.setting}

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> list[str]:
        record = checkpoint.get("split")
        if self.setting == "transductive" and isinstance(record, dict):
            check_same_unseen(ClassSplit.from_record(record, "its class split"), self.split)
        return super().check_checkpoint(checkpoint)

    def shape_hint(self, name: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> str:
        if name == "backbone.positional_embedding" and theirs[1:] == ours[1:]:
            side = round((theirs[0] - 1) ** 0.5) * self.backbone.shape.patch_size
            return (
                f"its table of positions is for images of {side}: set MODEL.CLIP.IMAGE_SIZE {side}"
            )
        if name in ("prompts.first", "prompts.deep"):
            return (
                f"it has prompts of shape {theirs}, this model {ours}: MODEL.ZEGCLIP.PROMPTS and "
                "PROMPT_DEPTH say how many"
            )
        return super().shape_hint(name, theirs, ours)

    def train(self, mode: bool = True) -> "ZegCLIP":
        """A tower that is not trained keeps its statistics, too."""
        super().train(mode)
        self.backbone.train(mode and self.tune == "all")
        return self

    @property
    def text(self) -> Tensor:
        """(K, D) unit vectors of the classes; what is as good as unit is left as it is."""
        length = self.class_vectors.norm(dim=-1, keepdim=True)
        unit = (length - 1).abs() <= _UNIT
        return torch.where(unit, self.class_vectors, self.class_vectors / length)

    @property
    def image_divisor(self) -> int:
        return self.backbone.size_divisibility

    @property
    def asked(self) -> list[int]:
        """Classes that training asks for."""
        every = range(self.split.num_classes)
        return list(self.split.seen if self.setting == "inductive" else every)

    def network(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised pixels to mask logits: of patches, or (B, K, H, W)."""
        return self.logits(images, self.text)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to unit vectors: of the images (B, D), of their patches (B, D, h, w)."""
        if self.prompts is None:
            found = self.backbone(images, class_embeddings=self.class_embeddings)
        else:
            found = self.backbone(
                images,
                self.prompts(images.shape[0]),
                self.prompts.shallow,
                self.prompts.norm,
                self.class_embeddings,
            )
        image, patches = (x.float() / x.float().norm(dim=1, keepdim=True) for x in found)
        return image, patches

    def logits(self, images: Tensor, text: Tensor) -> Tensor:
        """Mask logits of any classes.

        Args:
            images: (B, 3, H, W), normalised, any size.
            text: (K, D) unit vectors.

        Returns:
            (B, K, h, w), of patches; (B, K, H, W) where mean pixels had to complete patches.
        """
        height, width = images.shape[-2:]
        patch = self.backbone.shape.patch_size
        below, beside = -height % patch, -width % patch
        padded = F.pad(images, (0, beside, 0, below)) if below or beside else images
        masks = self.head(text, *self.encode(padded))
        if not (below or beside):
            return masks
        return at_size(masks, (height + below, width + beside))[..., :height, :width]

    def targets(self, batch: Sequence[Mapping[str, Any]], sizes: ImageSizes) -> Tensor:
        return (super().targets if self.setting == "inductive" else self.padded)(batch, sizes)

    def training_losses(self, batch: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Losses over the classes that the setting asks for, whose masks alone are computed."""
        images, sizes = self.preprocess(batch)
        logits = self.logits(images, self.text[self.asked])
        return self.asked_losses(logits, self.targets(batch, sizes))

    def losses(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return self.asked_losses(outputs[:, self.asked], targets)

    def asked_losses(self, masks: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Focal and dice loss.

        Args:
            masks: (B, K', h, w) logits of :attr:`asked`; the losses are of masks that are enlarged
                to the size of the labels.
            targets: (B, H, W) classes; IGNORE_LABEL where unlabelled.
        """
        with autocast(self.device, None):
            masks = masks.float()
            labels = self.rows_asked(masks, targets)
            counted = None if self.void_is_negative else labels != UNLABELLED
            pairs = present_pairs(labels, masks.shape[1])
            count = max(mean_over_processes(float(len(pairs)), masks.device), 1.0)
            focal = focal_loss(masks, labels, counted)
            dice = dice_label_loss(masks, labels, pairs, counted)
        return {
            "loss_mask": self.focal_weight * focal / count,
            "loss_dice": self.dice_weight * dice / count,
        }

    def rows_asked(self, masks: Tensor, targets: Tensor) -> Tensor:
        """Labels as rows of :attr:`asked`, unseen ones by self-training; -1 is unlabelled."""
        if self.setting == "transductive":
            if self.unseen_pixels == "annotated":
                targets = labelled_by_scores(masks, targets, self.split.unseen)
            else:
                targets = labelled_where_unlabelled(
                    masks, targets, self.split.seen, self.split.unseen
                )
        return label_rows(targets, self.asked)

    def encoded(self, images: Tensor, chunks: Sequence[slice]) -> SmallMasks:
        return SmallMasks(self.network(images), (images.shape[-2], images.shape[-1]))

    def class_maps(self, encoded: SmallMasks, rows: slice) -> Tensor:
        return encoded.chances(rows)

    def chances(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, K, H, W) in 0..1: what windows and views are averaged of."""
        return self.encoded(images, ()).chances(slice(None))

    def looked_at(self, images: Tensor) -> Tensor:
        """(B, K, H, W) in 0..1."""
        return look_at(self.chances, images, self.inference)
