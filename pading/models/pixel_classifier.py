"""What systems share that classify every pixel by class vectors, rather than queries."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import torch
from detectron2.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from pading.data.batches import OWN_CLASSES
from pading.data.masks import IGNORE_LABEL
from pading.errors import InputError
from pading.inference.calibration import calibrated
from pading.inference.class_chunks import (
    ClassesInTurn,
    Replayed,
    best_classes,
    class_chunks,
    log_sum_exp,
)
from pading.inference.views import look_at
from pading.inference.windows import Scores, at_size
from pading.losses.pixel_cross_entropy import label_rows, pixel_cross_entropy
from pading.models.base import SegmentationModel
from pading.structures import ImageSizes, PixelClasses
from pading.vocabulary.splits import ClassSplit

Self = TypeVar("Self", bound="PixelClassifier")
Looked = Tensor | ClassesInTurn


class PixelClassifier(SegmentationModel):
    """Images to a score of every class at every pixel; semantic results alone.

    A system defines :meth:`network`. The classes are rows of ``class_vectors``, so others take
    their place without training. Training sees the seen classes alone.
    """

    learns_from = "labels"
    gives = ("semantic",)
    uses_class_vectors = True
    class_tensors = ("class_vectors",)
    activation: ClassVar[Literal["softmax", "sigmoid"]] = "softmax"
    """What makes probabilities of scores: over all classes, or of every class by itself."""
    averaged: ClassVar[Literal["scores", "probabilities"]] = "scores"
    """What is averaged where an image is looked at more than once."""
    class_vectors: Tensor
    takes_some_classes: bool = False
    """Whether it can score some classes at a time, and the best one is all that is asked of it."""

    @classmethod
    def check(cls, cfg: CfgNode, split: ClassSplit) -> None:
        if cfg.MODEL.INFERENCE.SECOND_OPINION.WEIGHTS:
            raise InputError(
                "MODEL.INFERENCE.SECOND_OPINION.WEIGHTS: a second opinion is on segments, which "
                f"{cfg.MODEL.META_ARCHITECTURE} does not give; leave it out"
            )
        super().check(cfg, split)

    def network(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised pixels to class scores (B, K, h, w): logits, of any size."""
        raise NotImplementedError

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores (..., K, h, w) to what is calibrated and compared."""
        return scores.sigmoid() if self.activation == "sigmoid" else scores.softmax(-3)

    def named_outputs(self, outputs: Tensor) -> dict[str, Tensor]:
        return {"scores": outputs}

    def reading(self) -> dict[str, Any]:
        """``activation`` and ``averaged``, as above."""
        return {"outputs": "pixels", "activation": self.activation, "averaged": self.averaged}

    def targets(self, batch: Sequence[Mapping[str, Any]], sizes: ImageSizes) -> Tensor:
        """Label maps (B, H, W) int64 at the padded size; padding is ignored.

        Raises:
            InputError: an image shows an unseen class in training.
        """
        for image in batch:
            own = own_classes(image, self.split)
            unseen = [label for label, place in enumerate(own) if place in self.split.unseen]
            labels = image["sem_seg"].cpu()
            shown = labels[torch.isin(labels, torch.tensor(unseen))]
            if len(shown):
                raise InputError(
                    f"{image.get('file_name', 'image')}: the unseen class "
                    f"{self.split.names[own[int(shown[0])]]!r} in training; use a data set that is "
                    "declared seen_only, in which its pixels are ignored"
                )
        return self.padded(batch, sizes)

    def padded(self, batch: Sequence[Mapping[str, Any]], sizes: ImageSizes) -> Tensor:
        """Label maps (B, H, W) int64 as they are, at the padded size; padding is ignored."""
        height, width = sizes.padded
        maps = []
        for image in batch:
            labels = image["sem_seg"].to(self.device)
            below, beside = height - labels.shape[0], width - labels.shape[1]
            maps.append(F.pad(labels, (0, beside, 0, below), value=IGNORE_LABEL))
        return torch.stack(maps)

    def losses(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross-entropy over the seen classes, at the size of the labels.

        Ignored pixels are left out; a batch of nothing else has the loss 0.
        """
        seen = self.split.seen
        scores = at_size(outputs[:, list(seen)], (targets.shape[-2], targets.shape[-1]))
        return {"loss_pixels": pixel_cross_entropy((scores, label_rows(targets, seen)))}

    def look(self, batch: list[dict]) -> list[tuple[Looked, ImageSizes]]:
        """Scores of each image, looked at as MODEL.INFERENCE.WINDOW, SCALES and FLIP say.

        Images of one size are looked at together.
        """
        looked: dict[int, tuple[Looked, ImageSizes]] = {}
        together: dict[torch.Size, list[int]] = {}
        for number, image in enumerate(batch):
            pixels, sizes = self.preprocess([image])
            largest = max(math.prod(sizes.padded), math.prod(sizes.wanted[0]))
            chunks = class_chunks(self.split.num_classes, largest, self.inference.memory)
            if len(chunks) > 1 and self.takes_some_classes:
                looked[number] = self.by_chunks(pixels, sizes, chunks), sizes
            else:
                together.setdefault(pixels.shape, []).append(number)
        for numbers in together.values():
            pixels, sizes = self.preprocess([batch[number] for number in numbers])
            with self.mixed_precision():
                scores = self.looked_at(pixels)
            for place, number in enumerate(numbers):
                own = ImageSizes(sizes.padded, [sizes.images[place]], [sizes.wanted[place]])
                looked[number] = scores[place : place + 1], own
        return [looked[number] for number in range(len(batch))]

    def conclude(self, looked: Any) -> list[dict]:
        found: list[dict[str, Any]] = []
        for scores, sizes in looked:
            if not isinstance(scores, Tensor):
                found.append({"pixel_classes": self.best_of(scores, sizes.wanted[0])})
            elif self.averaged == "probabilities":
                found.append(self.result(scores[0], sizes.wanted[0]))
            else:
                found += self.results(scores, sizes)
        return found

    def looked_at(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), normalised, to the scores that :meth:`results` takes."""
        return self.views(self.network, images)

    def views(self, scores: Scores, images: Tensor) -> Tensor:
        """Any function of images to class scores, of all views of images that are asked for."""
        return look_at(scores, images, self.inference)

    def encoded(self, images: Tensor, chunks: Sequence[slice]) -> Any:
        """What :meth:`class_maps` needs of normalised images (B, 3, H, W).

        Of a system that takes some classes at a time (:attr:`takes_some_classes`).

        Args:
            images: as above.
            chunks: ranges of all classes.
        """
        raise NotImplementedError

    def class_maps(self, encoded: Any, rows: slice) -> Tensor:
        """What is averaged over views of a range of classes: see :attr:`averaged`."""
        raise NotImplementedError

    def by_chunks(
        self, pixels: Tensor, sizes: ImageSizes, chunks: Sequence[slice]
    ) -> ClassesInTurn:
        """Class scores of an image (1, 3, H, W) that are made when they are asked for.

        What is costly is done once: views are encoded, and their class maps made for each range.
        """
        height, width = sizes.images[0]
        views = Replayed(lambda view: self.encoded(view, chunks))

        def maps(rows: slice) -> Tensor:
            finish = views.followed_by(lambda encoded: self.class_maps(encoded, rows))
            with self.mixed_precision():
                scores = self.views(finish, pixels)
            return at_size(scores, sizes.padded)[0, :, :height, :width]

        total = None if self.averaged == "probabilities" else log_sum_exp(maps, chunks)
        return ClassesInTurn(maps, chunks, total)

    def best_of(self, scores: ClassesInTurn, wanted: tuple[int, int]) -> PixelClasses:
        """What :meth:`result` would give, as the best class of every pixel."""

        def chances(rows: slice) -> Tensor:
            own = scores.maps(rows)
            if scores.total is not None:
                own = (own - scores.total).exp()
            seen = [i - rows.start for i in self.split.seen if rows.start <= i < rows.stop]
            return at_size(calibrated(own, seen, self.inference.seen_bias)[None], wanted)[0]

        return best_classes(chances, scores.chunks)

    def results(self, outputs: Tensor, sizes: ImageSizes) -> list[dict]:
        """``sem_seg``: (K, H, W) at the wanted size."""
        found: list[dict[str, Any]] = []
        for scores, size, wanted in zip(outputs, sizes.images, sizes.wanted, strict=True):
            whole = at_size(scores[None], sizes.padded)[0, :, : size[0], : size[1]]
            found.append(self.result(self.probabilities(whole), wanted))
        return found

    def result(self, chances: Tensor, wanted: tuple[int, int]) -> dict[str, Tensor]:
        """``sem_seg`` at the wanted size of what :meth:`probabilities` gives, calibrated."""
        found = calibrated(chances, self.split.seen, self.inference.seen_bias)
        return {"sem_seg": at_size(found[None], wanted)[0]}

    def with_classes(
        self: Self,
        split: ClassSplit,
        class_vectors: Tensor,
        rows: Sequence[int | None],
        seed: int = 0,
    ) -> Self:
        """A class is a row of the class vectors: nothing is learned."""
        return self.with_vocabulary(split, class_vectors)

    def with_vocabulary(self: Self, split: ClassSplit, class_vectors: Tensor) -> Self:
        """The same weights with another list of classes.

        Args:
            split: the classes.
            class_vectors: (K', d) in their order.
        """
        other = _shallow(self)
        other.split = split
        other.class_vectors = class_vectors.to(self.class_vectors)
        return other


def own_classes(image: Mapping[str, Any], split: ClassSplit) -> Sequence[int]:
    """The place in a split of each label of an image, which may be those of its data set alone."""
    return image.get(OWN_CLASSES, range(split.num_classes))


def _shallow(model: Self) -> Self:
    """A model with the same weights (not copies of them) and a vocabulary of its own."""
    other = model.__class__.__new__(model.__class__)
    other.__dict__ = {**model.__dict__, "_buffers": dict(model._buffers)}
    return other
