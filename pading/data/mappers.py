"""From a data set's dictionary to what the model takes: image and masks, augmented alike."""

from typing import Any, Literal

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T
from detectron2.structures import Instances

from pading.data.images import read_image, require_size, segment_ids
from pading.data.masks import (
    IGNORE_LABEL,
    instance_masks,
    panoptic_colours,
    semantic_labels,
)

LearnsFrom = Literal["masks", "labels"]


def build_augmentations(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """The augmentations that INPUT asks for.

    Training: "large_scale_jitter" scales the image to fit a square of IMAGE_SIZE times a random
    factor in [MIN_SCALE, MAX_SCALE] and crops at most IMAGE_SIZE x IMAGE_SIZE of it (Ghiasi et
    al., CVPR 2021); what is smaller stays so, since the model pads its batch anyway. It and "flip"
    flip as RANDOM_FLIP says. Test: the shorter side becomes MIN_SIZE_TEST (0 keeps the size), the
    longer at most MAX_SIZE_TEST.
    """
    if not is_train:
        return [_ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, "choice")]
    kind, flip, size = cfg.INPUT.AUGMENTATION, cfg.INPUT.RANDOM_FLIP, cfg.INPUT.IMAGE_SIZE
    augmentations: list[T.Augmentation] = []
    if kind != "none" and flip != "none":
        horizontal = flip == "horizontal"
        augmentations.append(T.RandomFlip(horizontal=horizontal, vertical=not horizontal))
    if kind == "large_scale_jitter":
        augmentations += [
            _ResizeScale(cfg.INPUT.MIN_SCALE, cfg.INPUT.MAX_SCALE, size, size),
            T.FixedSizeCrop((size, size), pad=False),
        ]
    return augmentations


def _keep_a_pixel(transform: T.Transform) -> T.Transform:
    """Of an image of 2000 x 1 pixels, scaling to a fitting length would leave no width."""
    if not isinstance(transform, T.ResizeTransform) or (transform.new_h and transform.new_w):
        return transform
    new_size = max(transform.new_h, 1), max(transform.new_w, 1)
    return T.ResizeTransform(transform.h, transform.w, *new_size, transform.interp)


class _ResizeScale(T.ResizeScale):
    def get_transform(self, image: np.ndarray) -> T.Transform:
        return _keep_a_pixel(super().get_transform(image))


class _ResizeShortestEdge(T.ResizeShortestEdge):
    def get_transform(self, image: np.ndarray) -> T.Transform:
        return _keep_a_pixel(super().get_transform(image))


class SegmentationMapper:
    """Detectron2's dataset mapper for training (image and masks) and test (image alone).

    The result keeps file_name, image_id, height and width (those of the file) and has

    - image: 3 x H x W uint8 tensor, channels in ``image_format``;
    - instances (training only): Instances of image size (H, W) with gt_classes (N int64, contiguous
      indices of the full split) and gt_masks (N x H x W bool tensor): the segments of a panoptic
      image, the annotated instances, or one mask per class of a semantic image. Crowds and masks of
      which no pixel is left are out, so N may be 0.
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
            is_train: whether to add the ground truth.
            augmentations: applied in turn to image and masks alike.
            image_format: "RGB" or "BGR".
            learns_from: ground truth as "masks" or as a map of "labels".
        """
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format
        self.learns_from = learns_from

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
        augmented = T.AugInput(image)
        transforms = self.augmentations(augmented)
        result["image"] = torch.from_numpy(np.ascontiguousarray(augmented.image.transpose(2, 0, 1)))
        if self.is_train and self.learns_from == "labels":
            labels = transforms.apply_segmentation(semantic_labels(result))
            result["sem_seg"] = torch.from_numpy(np.array(labels, dtype=np.int64))
        elif self.is_train:
            classes, masks = _TARGETS[result["task"]](result, transforms)
            left = masks.flatten(1).any(dim=1)
            result["instances"] = Instances(
                augmented.image.shape[:2], gt_classes=classes[left], gt_masks=masks[left]
            )
            for key in ("segments_info", "annotations"):
                result.pop(key, None)
        return result


def _panoptic_targets(
    entry: dict[str, Any], transforms: T.TransformList
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes (N,) and masks (N, H, W): one for each segment."""
    # The colours are transformed rather than the ids: Detectron2 resizes only uint8 exactly.
    ids = segment_ids(transforms.apply_segmentation(panoptic_colours(entry)))
    segments = [s for s in entry["segments_info"] if not s["iscrowd"]]
    classes = torch.tensor([s["category_id"] for s in segments], dtype=torch.int64)
    wanted = torch.tensor([s["id"] for s in segments], dtype=torch.int32)
    return classes, torch.from_numpy(ids)[None] == wanted[:, None, None]


def _instance_targets(
    entry: dict[str, Any], transforms: T.TransformList
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes (N,) and masks (N, H, W): one for each annotation, which may overlap."""
    annotations = [a for a in entry["annotations"] if not a["iscrowd"]]
    classes = torch.tensor([a["category_id"] for a in annotations], dtype=torch.int64)
    blank = np.zeros((entry["height"], entry["width"]), dtype=np.uint8)
    masks = [transforms.apply_segmentation(mask) for mask in [blank, *instance_masks(entry)]]
    return classes, torch.from_numpy(np.stack(masks)[1:]).bool()


def _semantic_targets(
    entry: dict[str, Any], transforms: T.TransformList
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes (N,) and masks (N, H, W): one for each class that occurs."""
    labels = transforms.apply_segmentation(semantic_labels(entry))
    labels = torch.from_numpy(np.array(labels, order="C"))
    classes = labels.unique()
    classes = classes[classes != IGNORE_LABEL]
    return classes.long(), labels[None] == classes[:, None, None]


_TARGETS = {
    "panoptic": _panoptic_targets,
    "instance": _instance_targets,
    "semantic": _semantic_targets,
}
