"""A second opinion on the classes of segments: the class scores of a model that classifies pixels.

As open-vocabulary systems mix the class of a mask that was learned with what an image-text model
says of its pixels (Yu et al., FC-CLIP, NeurIPS 2023): a geometric mean, in which seen classes,
which were learned with masks, may have another weight than unseen ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from pading.errors import InputError
from pading.models.pixel_classifier import PixelClassifier
from pading.structures import ImageSizes
from pading.vocabulary.splits import ClassSplit

_KEY = "MODEL.INFERENCE.SECOND_OPINION.WEIGHTS"


class SecondOpinion:
    """What another model says of segments, and how much it counts."""

    def __init__(self, model: PixelClassifier, seen_weight: float, unseen_weight: float) -> None:
        """
        Args:
            model: whose scores are asked for; of the same classes in the same order.
            seen_weight, unseen_weight: of its scores, in 0..1.
        """
        whole = replace(model.inference, tasks=("semantic",), seen_bias=0.0, memory=1 << 62)
        self.model = model
        model.inference = whole  # maps of all classes, without a calibration of their own
        unseen = torch.tensor([info.unseen for info in model.split.classes])
        self.weights = torch.where(unseen, unseen_weight, seen_weight).to(model.device)

    @classmethod
    def from_config(cls, cfg: CfgNode, split: ClassSplit) -> "SecondOpinion | None":
        """The one that MODEL.INFERENCE.SECOND_OPINION asks for; None: none.

        Raises:
            InputError: no model that classifies pixels, or one of other classes.
        """
        from pading.models.trained import load_trained  # which builds models of this kind

        section = cfg.MODEL.INFERENCE.SECOND_OPINION
        if not section.WEIGHTS:
            return None
        _, model = load_trained(section.WEIGHTS, ("MODEL.DEVICE", cfg.MODEL.DEVICE))
        if not isinstance(model, PixelClassifier):
            raise InputError(
                f"{_KEY} {section.WEIGHTS}: a {type(model).__name__} classifies segments itself; "
                "give a model that classifies pixels"
            )
        unlike = sorted({*split.names} ^ {*model.split.names})
        if unlike:
            raise InputError(
                f"{_KEY} {section.WEIGHTS}: {unlike[0]!r} is a class of one of the models alone; "
                "give one of the same classes"
            )
        rows = [model.split.names.index(name) for name in split.names]
        model = model.with_vocabulary(split, model.class_vectors[rows])
        return cls(model, section.SEEN_WEIGHT, section.UNSEEN_WEIGHT)

    @torch.no_grad()
    def asked(self, batch: Sequence[Mapping[str, Any]], masks: Tensor, sizes: ImageSizes) -> Tensor:
        """Class probabilities of segments by the other model.

        Args:
            batch: Detectron2's dictionaries.
            masks: (B, Q, h, w) logits at a fraction of the padded size.
            sizes: of the images.

        Returns:
            (B, Q, K): the mean over the pixels of a mask, sums to 1 over the classes.
        """
        found = []
        for image, mask, (height, width) in zip(batch, masks.float(), sizes.images, strict=True):
            own = {"image": image["image"], "height": height, "width": width}
            scores = self.model([own])[0]["sem_seg"]
            # The last map is of the image itself, which padding is not.
            maps = torch.cat((scores, torch.ones_like(scores[:1])))
            below, beside = sizes.padded[0] - height, sizes.padded[1] - width
            small = F.interpolate(
                F.pad(maps, (0, beside, 0, below))[None], mask.shape[-2:], mode="area"
            )[0]
            sums = torch.einsum("qhw,khw->qk", mask.sigmoid(), small)
            mean = sums[:, :-1] / sums[:, -1:].clamp_min(1e-6)
            found.append(mean / mean.sum(1, keepdim=True).clamp_min(1e-6))
        return torch.stack(found)

    def mixed(self, scores: Tensor, theirs: Tensor) -> Tensor:
        """Both opinions in one.

        Args:
            scores: (Q, K + 1) probabilities, no-object last; that one stays as it is.
            theirs: (Q, K), of :meth:`asked`.

        Returns:
            (Q, K + 1).
        """
        some = scores[:, :-1].sum(1, keepdim=True)
        mine = scores[:, :-1] / some.clamp_min(1e-12)
        mean = mine ** (1 - self.weights) * theirs**self.weights
        mean = mean / mean.sum(1, keepdim=True).clamp_min(1e-12)
        return torch.cat((some * mean, scores[:, -1:]), 1)
