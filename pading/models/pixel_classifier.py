"""What systems share that classify every pixel by class vectors, rather than queries."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from pading.data.masks import IGNORE_LABEL
from pading.errors import InputError
from pading.inference.calibration import calibrated
from pading.inference.views import look_at
from pading.inference.windows import at_size
from pading.losses.pixel_cross_entropy import label_rows, pixel_cross_entropy
from pading.models.base import SegmentationModel
from pading.structures import ImageSizes
from pading.vocabulary.splits import ClassSplit

Self = TypeVar("Self", bound="PixelClassifier")


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
        unseen = torch.tensor(self.split.unseen)
        for image in batch:
            labels = image["sem_seg"].cpu()
            shown = labels[torch.isin(labels, unseen)]
            if len(shown):
                raise InputError(
                    f"{image.get('file_name', 'image')}: the unseen class "
                    f"{self.split.names[int(shown[0])]!r} in training; use a data set that is "
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
        return {"loss_pixels": pixel_cross_entropy(scores, label_rows(targets, seen))}

    def look(self, batch: list[dict]) -> list[tuple[Tensor, ImageSizes]]:
        """Scores of each image, looked at as MODEL.INFERENCE.WINDOW, SCALES and FLIP say."""
        looked = []
        for image in batch:
            pixels, sizes = self.preprocess([image])
            with self.mixed_precision():
                looked.append((self.looked_at(pixels), sizes))
        return looked

    def conclude(self, looked: Sequence[tuple[Tensor, ImageSizes]]) -> list[dict]:
        return [result for scores, sizes in looked for result in self.results(scores, sizes)]

    def looked_at(self, image: Tensor) -> Tensor:
        """(1, 3, H, W), normalised, to the scores that :meth:`results` takes."""
        return look_at(self.network, image, self.inference)

    def results(self, outputs: Tensor, sizes: ImageSizes) -> list[dict]:
        """``sem_seg``: (K, H, W) at the wanted size."""
        found = []
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


def _shallow(model: Self) -> Self:
    """A model with the same weights (not copies of them) and a vocabulary of its own."""
    other = model.__class__.__new__(model.__class__)
    other.__dict__ = {**model.__dict__, "_buffers": dict(model._buffers)}
    return other
