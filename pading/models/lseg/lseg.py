"""LSeg: language-driven semantic segmentation (Li et al., ICLR 2022, arXiv 2201.03546).

Every pixel gets an embedding in the space of a text encoder; the score of a label is the cosine
with its text's vector, over a temperature. Texts are encoded when class vectors are built.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from pading.data.batches import Batches
from pading.errors import InputError
from pading.inference.windows import Scores
from pading.losses.pixel_cross_entropy import label_rows, pixel_cross_entropy
from pading.models.lseg.checkpoint_names import LSEG_NAMES
from pading.models.lseg.fusion import Fusion, enlarged
from pading.models.lseg.label_map_parts import LabelMapParts
from pading.models.lseg.multiscale import multiscale_scores
from pading.models.lseg.own_labels import by_labels
from pading.models.lseg.pairs import PAIR, asked_for, build_pair_batches, others_of
from pading.models.lseg.pixel_text_logits import PixelTextLogits
from pading.models.lseg.pyramid import Pyramid, build_pyramid
from pading.models.lseg.spatial_regularisation import SpatialRegularisation
from pading.models.parameter_groups import ParameterGroups, groups_at_two_rates
from pading.models.pixel_classifier import PixelClassifier
from pading.vocabulary.splits import ClassSplit


@META_ARCH_REGISTRY.register()
class LSeg(PixelClassifier):
    """Images to a score of every label at every pixel."""

    published_names = LSEG_NAMES
    # Published checkpoints hold no vectors: labels are given with every call.
    initialised_afresh = (("class_vectors",),)
    takes_own_labels = True
    beside_backbone = ("fusion.", "pixel_embedding.")
    unused_settings = {
        "SOLVER.WEIGHT_DECAY_NORM": "norms decay as all else does",
        "SOLVER.WEIGHT_DECAY_EMBED": "embeddings decay as all else does",
    }

    @configurable
    def __init__(
        self,
        *,
        pyramid: Pyramid,
        channels: int,
        temperature: float,
        learn_temperature: bool,
        spatial_regularisation: SpatialRegularisation | None,
        base_size: int = 0,
        pairs: bool = False,
        **base: Any,
    ) -> None:
        """
        Args:
            pyramid: what makes maps of several scales.
            channels: C, width of the fusion.
            temperature: of the cosines.
            learn_temperature: whether it is trained; published: a constant.
            spatial_regularisation: a block on the label maps, or None.
            base_size: longer side of images at scale 1, as LSeg's evaluation has it; 0: their own.
            pairs: training examples ask for one class each, against "others".
            base: see :class:`~pading.models.base.SegmentationModel`.
        """
        super().__init__(**base)
        self.backbone = pyramid.backbone
        self.features = tuple(pyramid.features)
        self.reassembly = pyramid.reassembly
        self.divisor = pyramid.divisor
        self.fusion = Fusion(pyramid.widths, channels)
        self.pixel_embedding = nn.Conv2d(channels, self.class_vectors.shape[1], 1)
        self.comparison = PixelTextLogits(temperature, learn_temperature)
        self.spatial_regularisation = spatial_regularisation
        self.base_size = base_size
        self.pairs = pairs
        self.takes_some_classes = not pairs  # which ask for every class against "others"

    @classmethod
    def from_config(
        cls, cfg: CfgNode, split: ClassSplit, class_vectors: Tensor | None = None
    ) -> dict[str, Any]:
        section = cfg.MODEL.LSEG
        block = None
        if section.BLOCK != "none":
            block = SpatialRegularisation(
                section.BLOCK, section.BLOCK_DEPTH, section.BLOCK_ACTIVATION, section.BLOCK_SHARED
            )
        return {
            **super().from_config(cfg, split, class_vectors),
            "pyramid": build_pyramid(cfg),
            "channels": section.CHANNELS,
            "temperature": section.TEMPERATURE,
            "learn_temperature": section.LEARN_TEMPERATURE,
            "spatial_regularisation": block,
            "base_size": section.BASE_SIZE,
            "pairs": section.PAIRS,
        }

    @classmethod
    def check(cls, cfg: CfgNode, split: ClassSplit) -> None:
        super().check(cfg, split)
        section = cfg.MODEL.LSEG
        if section.PAIRS:
            others_of(split)
            if cfg.DATASETS.OWN_LABELS:
                raise InputError(
                    "DATASETS.OWN_LABELS and MODEL.LSEG.PAIRS exclude each other: a fold has one "
                    "list of classes; leave one of them out"
                )
            if section.BLOCK != "none":
                raise InputError(
                    f"MODEL.LSEG.BLOCK is {section.BLOCK!r}, but MODEL.LSEG.PAIRS compares two "
                    "labels at a time, for which there is none; set it to 'none'"
                )

    @classmethod
    def identity(cls, cfg: CfgNode) -> dict[str, Any]:
        return {"MODEL.LSEG.PAIRS": cfg.MODEL.LSEG.PAIRS}

    def described(self) -> dict[str, Any]:
        """``pairs`` beside the split: whether it was trained by folds."""
        return {**super().described(), "pairs": self.pairs}

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> list[str]:
        theirs = checkpoint.get("pairs", self.pairs)
        if theirs != self.pairs:
            raise InputError(
                f"it was trained with MODEL.LSEG.PAIRS {theirs}, whose scores mean something else; "
                f"use the configuration that it was trained with, not one with {self.pairs}"
            )
        return super().check_checkpoint(checkpoint)

    def shape_hint(self, name: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> str:
        if name.startswith("pixel_embedding.") and theirs[0] != ours[0]:
            return (
                f"it compares pixels with class vectors of {theirs[0]} numbers, but "
                f"MODEL.CLASS_VECTORS gives {ours[0]}: use vectors by the text encoder that it was "
                "trained with"
            )
        return super().shape_hint(name, theirs, ours)

    def training_source(self, cfg: CfgNode, seed: int) -> Batches:
        """The images of DATASETS.TRAIN; with PAIRS, every class in every one of them."""
        if self.pairs:
            return build_pair_batches(cfg, seed, self.split)
        return super().training_source(cfg, seed)

    def parameter_groups(self, cfg: CfgNode) -> dict[str, ParameterGroups]:
        """The backbone with its reassembly at a rate of its own; one decay for everything."""
        slow = ("backbone.", "reassembly.")
        return {"model": ParameterGroups(groups_at_two_rates(self, cfg, slow))}

    @property
    def text(self) -> Tensor:
        """(K, D) unit vectors of the classes."""
        return F.normalize(self.class_vectors, dim=-1)

    @property
    def image_divisor(self) -> int:
        return self.divisor

    def reading(self) -> dict[str, Any]:
        """``base_size`` beside what every classifier of pixels has."""
        return {**super().reading(), "base_size": self.base_size}

    def network(self, images: Tensor) -> Tensor:
        return self.logits(images, self.text)

    def logits(self, images: Tensor, text: Tensor) -> Tensor:
        """Logits of any labels.

        Args:
            images: (B, 3, H, W) normalised pixels, any size.
            text: (K, D) unit vectors, or (B, K, D) where every image has labels of its own.

        Returns:
            (B, K, H, W).
        """
        return self._logits_of(self.fused(self._padded(images)), text, images.shape[-2:])

    def _logits_of(self, fused: Tensor, text: Tensor, size: Sequence[int]) -> Tensor:
        """Logits at the size of the images, whose padding goes."""
        height, width = (-(-side // self.divisor) * self.divisor for side in size)
        found = enlarged(self.label_maps(fused, text), (height, width))
        return found[..., : size[0], : size[1]]

    def training_losses(self, batch: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Cross-entropy over the seen labels, whose rows alone are computed.

        Images of data sets with labels of their own are compared with these alone. Ignored pixels
        are left out; a batch of nothing else has the loss 0. With PAIRS it is over each example's
        class and "others", which all its other pixels are.
        """
        images, sizes = self.preprocess(batch)
        if self.pairs:
            others = others_of(self.split)
            asked = torch.tensor([[others, image[PAIR]] for image in batch])
            targets = asked_for(batch, sizes.padded).to(self.device)
            return self.pair_losses(images, self.text[asked], targets)
        targets = self.targets(batch, sizes)
        fused = self.fused(self._padded(images))
        parts = []
        for numbers, labels, classes in by_labels(batch, self.split):
            scores = self._logits_of(fused[numbers], self.text[classes], images.shape[-2:])
            parts.append((scores, label_rows(targets[numbers], labels)))
        return {"loss_pixels": pixel_cross_entropy(*parts)}

    def views(self, scores: Scores, images: Tensor) -> Tensor:
        """As everywhere, or as LSeg's evaluation looks at images where BASE_SIZE asks for it."""
        if not self.base_size:
            return super().views(scores, images)
        settings = self.inference
        side = settings.window[0] if settings.window else self.base_size
        return multiscale_scores(
            scores,
            images,
            base_size=self.base_size,
            crop=side,
            stride=settings.stride[0] if settings.stride else side,
            scales=settings.scales,
            flip=settings.flip,
            black=-self.pixel_mean / self.pixel_std,
        )

    def encoded(self, images: Tensor, chunks: Sequence[slice]) -> LabelMapParts:
        padded = self._padded(images)
        fused = self.fused(padded)
        norm = self.comparison.norm(fused, self.fusion.last_output, self.pixel_embedding)
        sizes = (padded.shape[-2], padded.shape[-1]), (images.shape[-2], images.shape[-1])
        parts = LabelMapParts(fused, norm, *sizes)
        block = self.spatial_regularisation
        if block is not None:
            parts.maxima = block.maxima(lambda rows: self._compared(parts, rows), chunks)
        return parts

    def class_maps(self, encoded: LabelMapParts, rows: slice) -> Tensor:
        logits = self._compared(encoded, rows)
        if self.spatial_regularisation is not None:
            logits = self.spatial_regularisation(logits, encoded.maxima)
        height, width = encoded.size
        return enlarged(logits, encoded.padded)[..., :height, :width]

    def _compared(self, parts: LabelMapParts, rows: slice) -> Tensor:
        layers = self.fusion.last_output, self.pixel_embedding
        return self.comparison(parts.fused, *layers, self.text[rows], parts.norm)

    def fused(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H/4, W/4), before the fusion's last convolution."""
        found = self.backbone(images)
        pyramid = [found[name] for name in self.features]
        return self.fusion(pyramid if self.reassembly is None else self.reassembly(pyramid))

    def label_maps(self, fused: Tensor, text: Tensor) -> Tensor:
        """Logits at half of the image's size, spatially regularised.

        Args:
            fused: (B, C, H/4, W/4).
            text: (K, D) or (B, K, D).

        Returns:
            (B, K, H/2, W/2).
        """
        logits = self.comparison(fused, self.fusion.last_output, self.pixel_embedding, text)
        if self.spatial_regularisation is not None:
            logits = self.spatial_regularisation(logits)
        return logits

    @torch.no_grad()
    def encode_pixels(self, image: Tensor) -> Tensor:
        pixels, _ = self.preprocess([{"image": image}])
        padded = self._padded(pixels)
        found = self.comparison.embeddings(
            self.fused(padded), self.fusion.last_output, self.pixel_embedding
        )
        height, width = image.shape[-2:]
        return F.normalize(enlarged(found, padded.shape[-2:])[0, :, :height, :width], dim=0)

    def pair_losses(self, images: Tensor, text: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross-entropy where every image has labels of its own.

        Args:
            images: (B, 3, H, W), normalised.
            text: (B, K, D) unit vectors.
            targets: (B, H, W) int64, below K; UNLABELLED: not in the image.
        """
        return {"loss_pixels": pixel_cross_entropy((self.logits(images, text), targets))}

    def _padded(self, images: Tensor) -> Tensor:
        divisor = self.divisor
        height, width = images.shape[-2:]
        if not (height % divisor or width % divisor):
            return images
        return F.pad(images, (0, -width % divisor, 0, -height % divisor))
