"""From a data set's dictionary to what the model takes: image and masks, augmented alike."""

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T
from detectron2.structures import Instances

from pading.data.images import read_image, read_panoptic_png, require_size, segment_ids
from pading.errors import InputError

AUGMENTATIONS = ("large_scale_jitter", "flip", "none")


def build_augmentations(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """The augmentations that INPUT asks for.

    Training: "large_scale_jitter" scales the image to fit a square of IMAGE_SIZE times a random
    factor in [MIN_SCALE, MAX_SCALE] and crops at most IMAGE_SIZE x IMAGE_SIZE of it (Ghiasi et
    al., CVPR 2021); what is smaller stays so, since the model pads its batch anyway. It and "flip"
    flip as RANDOM_FLIP says. Test: the shorter side becomes MIN_SIZE_TEST (0 keeps the size), the
    longer at most MAX_SIZE_TEST.

    Raises:
        InputError: an unknown INPUT.AUGMENTATION or INPUT.RANDOM_FLIP.
    """
    if not is_train:
        return [T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, "choice")]
    kind, flip, size = cfg.INPUT.AUGMENTATION, cfg.INPUT.RANDOM_FLIP, cfg.INPUT.IMAGE_SIZE
    if kind not in AUGMENTATIONS:
        raise InputError(
            f"INPUT.AUGMENTATION is {kind!r}; take one of {', '.join(map(repr, AUGMENTATIONS))}"
        )
    if flip not in ("horizontal", "vertical", "none"):
        raise InputError(f"INPUT.RANDOM_FLIP is {flip!r}; take 'horizontal', 'vertical' or 'none'")
    augmentations: list[T.Augmentation] = []
    if kind != "none" and flip != "none":
        horizontal = flip == "horizontal"
        augmentations.append(T.RandomFlip(horizontal=horizontal, vertical=not horizontal))
    if kind == "large_scale_jitter":
        augmentations += [
            T.ResizeScale(cfg.INPUT.MIN_SCALE, cfg.INPUT.MAX_SCALE, size, size),
            T.FixedSizeCrop((size, size), pad=False),
        ]
    return augmentations


class SegmentationMapper:
    """Detectron2's dataset mapper for training (image and masks) and test (image alone).

    The result keeps file_name, image_id, height and width (those of the file) and has

    - image: 3 x H x W uint8 tensor, channels in ``image_format``;
    - instances (training only): Instances of image size (H, W) with gt_classes (N int64, contiguous
      indices of the full split) and gt_masks (N x H x W bool tensor). Crowds and segments of which
      no pixel is left are out, so N may be 0.
    """

    @configurable
    def __init__(
        self, is_train: bool, *, augmentations: list[T.Augmentation], image_format: str
    ) -> None:
        """
        Args:
            is_train: whether to add the masks.
            augmentations: applied in turn to image and masks alike.
            image_format: "RGB" or "BGR".
        """
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Read INPUT."""
        return {
            "is_train": is_train,
            "augmentations": build_augmentations(cfg, is_train),
            "image_format": cfg.INPUT.FORMAT,
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """
        Args:
            dataset_dict: one of :mod:`pading.data.ground_truth`'s; it is not changed.

        Raises:
            InputError: an unreadable image or label file, or one of another size than annotated.
        """
        result = dict(dataset_dict)
        path, size = result["file_name"], (result["height"], result["width"])
        image = read_image(path, self.image_format)
        require_size(path, image.shape[:2], size, "its annotation")
        augmented = T.AugInput(image)
        transforms = self.augmentations(augmented)
        result["image"] = torch.from_numpy(np.ascontiguousarray(augmented.image.transpose(2, 0, 1)))
        if self.is_train:
            classes, masks = _panoptic_targets(result, transforms)
            result["instances"] = _instances(classes, masks)
            del result["segments_info"]
        return result


def _panoptic_targets(
    dataset_dict: dict[str, Any], transforms: T.TransformList
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes (N,) and masks (N, H, W) of a panoptic PNG's segments."""
    path = dataset_dict["pan_seg_file_name"]
    colours = read_panoptic_png(path)
    require_size(
        path, colours.shape[:2], (dataset_dict["height"], dataset_dict["width"]), "its annotation"
    )
    # The colours are transformed rather than the ids: Detectron2 resizes only uint8 exactly.
    ids = torch.from_numpy(segment_ids(transforms.apply_segmentation(colours)))
    segments = [s for s in dataset_dict["segments_info"] if not s["iscrowd"]]
    wanted = torch.tensor([s["id"] for s in segments], dtype=torch.int32)
    classes = torch.tensor([s["category_id"] for s in segments], dtype=torch.int64)
    return classes, ids[None] == wanted[:, None, None]


def _instances(classes: torch.Tensor, masks: torch.Tensor) -> Instances:
    left = masks.flatten(1).any(dim=1)
    return Instances(tuple(masks.shape[1:]), gt_classes=classes[left], gt_masks=masks[left])
