"""From a data set's dictionary to what the model takes: image and targets, augmented alike."""

from typing import Any, Literal

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T
from detectron2.structures import Instances

from pading.data.augmentations import MixedCrop, build_augmentations, packed, unpacked
from pading.data.images import read_image, require_size, segment_ids
from pading.data.masks import (
    IGNORE_LABEL,
    instance_masks,
    panoptic_colours,
    semantic_labels,
)
from pading.errors import InputError

LearnsFrom = Literal["masks", "labels"]


class SegmentationMapper:
    """Detectron2's dataset mapper for training (image and masks) and test (image alone).

    The result keeps file_name, image_id, height and width (those of the file) and has

    - image: 3 x H x W uint8 tensor, channels in ``image_format``;
    - instances (training only): Instances of image size (H, W) with gt_classes (N int64, contiguous
      indices of the full split) and gt_masks (N x H x W bool tensor): the segments of a panoptic
      image, the annotated instances, or one mask per class of a semantic image. Crowds and masks of
      which no pixel is left are out, so N may be 0;
    - sem_seg (training from labels, instead of instances): H x W int64 tensor of contiguous labels,
      IGNORE_LABEL where a pixel is of no class.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: list[T.Augmentation],
        image_format: str,
        learns_from: LearnsFrom = "masks",
    ) -> None:
        """
        Args:
            is_train: whether to add the targets.
            augmentations: applied in turn to image and masks alike.
            image_format: "RGB" or "BGR".
            learns_from: the targets: "masks" (instances) or "labels" (sem_seg), as the model says.
        """
        self.learns_from = learns_from
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format

    @classmethod
    def from_config(
        cls, cfg: CfgNode, is_train: bool = True, learns_from: LearnsFrom = "masks"
    ) -> dict[str, Any]:
        """Read INPUT."""
        return {
            "is_train": is_train,
            "augmentations": build_augmentations(cfg, is_train),
            "image_format": cfg.INPUT.FORMAT,
            "learns_from": learns_from,
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """
        Args:
            dataset_dict: one of :mod:`pading.data.ground_truth`'s; it is not changed.

        Raises:
            InputError: an unreadable image or label file, or one of another size than annotated.
        """
        result = dict(dataset_dict)
        path = result["file_name"]
        image = read_image(path, self.image_format)
        result.setdefault("height", image.shape[0])
        result.setdefault("width", image.shape[1])
        require_size(path, image.shape[:2], (result["height"], result["width"]), "its annotation")
        labels = self._labels(result)
        augmented = T.AugInput(image, sem_seg=labels)
        transforms = self.augmentations(augmented)
        result["image"] = torch.from_numpy(np.ascontiguousarray(augmented.image.transpose(2, 0, 1)))
        if not self.is_train:
            return result
        if self.learns_from == "labels":
            result["sem_seg"] = torch.from_numpy(unpacked(augmented.sem_seg).astype(np.int64))
        else:
            classes, masks = _TARGETS[result["task"]](result, transforms, augmented.sem_seg)
            left = masks.flatten(1).any(dim=1)
            result["instances"] = Instances(
                augmented.image.shape[:2], gt_classes=classes[left], gt_masks=masks[left]
            )
        for key in ("segments_info", "annotations"):
            result.pop(key, None)
        return result

    def _labels(self, entry: dict[str, Any]) -> np.ndarray | None:
        """The labels of an entry, packed, where targets or crops are made from them."""
        if not self.is_train:
            return None
        if entry["task"] == "instance":
            if self.learns_from == "masks":
                return None
            raise InputError(
                f"{entry['file_name']}: this model learns from label maps, and instance "
                "annotations are none; name semantic or panoptic data sets in DATASETS.TRAIN"
            )
        chosen_by_labels = any(isinstance(a, MixedCrop) for a in self.augmentations.augs)
        if self.learns_from == "masks" and entry["task"] == "panoptic" and not chosen_by_labels:
            return None
        return packed(semantic_labels(entry))


def _panoptic_targets(
    entry: dict[str, Any], transforms: T.TransformList, _: np.ndarray | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes (N,) and masks (N, H, W): one for each segment."""
    # The colours are transformed rather than the ids: Detectron2 resizes only uint8 exactly.
    ids = segment_ids(transforms.apply_segmentation(panoptic_colours(entry)))
    segments = [s for s in entry["segments_info"] if not s["iscrowd"]]
    classes = torch.tensor([s["category_id"] for s in segments], dtype=torch.int64)
    wanted = torch.tensor([s["id"] for s in segments], dtype=torch.int32)
    return classes, torch.from_numpy(ids)[None] == wanted[:, None, None]


def _instance_targets(
    entry: dict[str, Any], transforms: T.TransformList, _: np.ndarray | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes (N,) and masks (N, H, W): one for each annotation, which may overlap."""
    annotations = [a for a in entry["annotations"] if not a["iscrowd"]]
    classes = torch.tensor([a["category_id"] for a in annotations], dtype=torch.int64)
    blank = np.zeros((entry["height"], entry["width"]), dtype=np.uint8)
    # Padding is 255, as of labels.
    masks = [transforms.apply_segmentation(mask) for mask in [blank, *instance_masks(entry)]]
    return classes, torch.from_numpy(np.stack(masks)[1:] == 1)


def _semantic_targets(
    _: dict[str, Any], __: T.TransformList, packed_labels: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes (N,) and masks (N, H, W): one for each class that occurs."""
    labels = torch.from_numpy(unpacked(packed_labels).astype(np.int32))
    classes = labels.unique()
    classes = classes[classes != IGNORE_LABEL]
    return classes.long(), labels[None] == classes[:, None, None]


_TARGETS = {
    "panoptic": _panoptic_targets,
    "instance": _instance_targets,
    "semantic": _semantic_targets,
}
