"""What INPUT asks for: augmentations that move image and labels alike, in Detectron2's terms."""

from collections.abc import Sequence

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from PIL import Image

from pading.data.images import segment_ids
from pading.data.masks import IGNORE_LABEL, widened
from pading.errors import InputError

AUGMENTATIONS = ("large_scale_jitter", "flip", "semantic", "none")
_TRIES = 10
_BRIGHTNESS = 32
_CONTRAST = _SATURATION = (0.5, 1.5)
_HUE = 18 / 180
"""Of the whole circle."""


def build_augmentations(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """The augmentations that INPUT asks for.

    Training: "large_scale_jitter" scales the image to fit a square of IMAGE_SIZE times a random
    factor in [MIN_SCALE, MAX_SCALE] and crops at most IMAGE_SIZE x IMAGE_SIZE of it (Ghiasi et
    al., CVPR 2021); what is smaller stays so, since the model pads its batch anyway. "semantic"
    scales it to fit BASE_SIZE (longer, shorter side) times such a factor, crops CROP_SIZE, again
    while one class has more than MAX_CLASS_SHARE of it, distorts colours if
    PHOTOMETRIC_DISTORTION, and pads to CROP_SIZE, black and ignored. Both and "flip" flip as
    RANDOM_FLIP says. Test: the shorter side becomes MIN_SIZE_TEST (0 keeps the size), the longer
    at most MAX_SIZE_TEST.

    Raises:
        InputError: an unknown INPUT.AUGMENTATION or INPUT.RANDOM_FLIP, or a size or share of
            "semantic" that is none.
    """
    if not is_train:
        return [_ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, "choice")]
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
            _ResizeScale(cfg.INPUT.MIN_SCALE, cfg.INPUT.MAX_SCALE, size, size),
            T.FixedSizeCrop((size, size), pad=False),
        ]
    return augmentations + (_semantic(cfg) if kind == "semantic" else [])


def _semantic(cfg: CfgNode) -> list[T.Augmentation]:
    base, crop = (_two_sizes(cfg, key) for key in ("BASE_SIZE", "CROP_SIZE"))
    share = cfg.INPUT.MAX_CLASS_SHARE
    if not 0 < share <= 1:
        raise InputError(
            f"INPUT.MAX_CLASS_SHARE is {share}; take a share above 0, or 1 to allow any crop"
        )
    result = [
        ResizeToFit((cfg.INPUT.MIN_SCALE, cfg.INPUT.MAX_SCALE), base),
        MixedCrop(crop, share) if share < 1 else T.RandomCrop("absolute", crop),
    ]
    if cfg.INPUT.PHOTOMETRIC_DISTORTION:
        result.append(PhotometricDistortion(cfg.INPUT.FORMAT))
    return [*result, PadTo(crop)]


def _two_sizes(cfg: CfgNode, key: str) -> tuple[int, int]:
    sizes = tuple(cfg.INPUT[key])
    if len(sizes) != 2 or not all(type(size) is int and size > 0 for size in sizes):
        raise InputError(f"INPUT.{key} is {sizes}; give two sizes in pixels, at least 1")
    return sizes[0], sizes[1]


def packed(labels: np.ndarray) -> np.ndarray:
    """Labels in the 8 bits that Detectron2 resizes exactly.

    Args:
        labels: H x W uint16, IGNORE_LABEL where ignored.

    Returns:
        H x W uint8, 255 where ignored; or, where a label is larger, H x W x 3 uint8, label + 1 as
        a colour (R + 256 G), 0 where ignored.
    """
    ignored = labels == IGNORE_LABEL
    if (ignored | (labels < 255)).all():
        return np.where(ignored, 255, labels).astype(np.uint8)
    shifted = np.where(ignored, 0, labels.astype(np.int32) + 1)
    return np.stack([shifted % 256, shifted // 256, 0 * shifted], axis=-1).astype(np.uint8)


def unpacked(values: np.ndarray) -> np.ndarray:
    """The labels, H x W uint16, that :func:`packed` made ``values`` of."""
    if values.ndim == 2:
        return widened(values)
    # 0, ignored, turns to 65535.
    return (segment_ids(values) - 1).astype(np.uint16)


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


class ResizeToFit(T.Augmentation):
    """Scale, aspect kept, to the largest size whose sides fit a base size times a random factor."""

    def __init__(self, scales: tuple[float, float], base: tuple[int, int]) -> None:
        """
        Args:
            scales: range of the factor.
            base: what the longer and the shorter side may be at factor 1; equal numbers make the
                longer side that long.
        """
        super().__init__()
        self.scales, self.base = scales, base

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """A resize of image (H, W, 3)."""
        height, width = image.shape[:2]
        factor = self._rand_range(*self.scales)
        longer, shorter = (side * factor for side in self.base)
        scale = min(longer / max(height, width), shorter / min(height, width))
        new_height, new_width = (max(round(side * scale), 1) for side in (height, width))
        return T.ResizeTransform(height, width, new_height, new_width, Image.Resampling.BILINEAR)


class MixedCrop(T.Augmentation):
    """A random crop, drawn anew while it has one class alone or one that fills too much of it."""

    def __init__(self, size: tuple[int, int], max_class_share: float) -> None:
        """
        Args:
            size: height and width; less where the image is smaller.
            max_class_share: of the pixels that are not ignored; the tenth crop is taken as it is.
        """
        super().__init__()
        self.crop, self.max_class_share = T.RandomCrop("absolute", size), max_class_share

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray | None) -> T.Transform:
        """A crop of image (H, W, 3), chosen by its labels (as :func:`packed` gives them)."""
        if sem_seg is None:
            raise InputError(
                "INPUT.MAX_CLASS_SHARE: instance annotations have no label maps to choose crops "
                "by; set it to 1, or train on semantic or panoptic data"
            )
        for _ in range(_TRIES):
            transform = self.crop.get_transform(image)
            labels = unpacked(transform.apply_segmentation(sem_seg))
            _, counts = np.unique(labels[labels != IGNORE_LABEL], return_counts=True)
            if len(counts) > 1 and counts.max() < self.max_class_share * counts.sum():
                break
        return transform


class PhotometricDistortion(T.Augmentation):
    """Random brightness, contrast, saturation and hue, each with probability one half.

    Contrast comes before or after saturation and hue, by chance (Liu et al., SSD, ECCV 2016).
    """

    def __init__(self, image_format: str) -> None:
        """
        Args:
            image_format: "RGB" or "BGR".
        """
        super().__init__()
        self.flipped = image_format == "BGR"

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """A change of the colours of image (H, W, 3) uint8."""
        brightness = self._maybe(-_BRIGHTNESS, _BRIGHTNESS, 0.0)
        contrast_first = np.random.uniform() < 0.5
        contrast = self._maybe(*_CONTRAST, 1.0)
        saturation = self._maybe(*_SATURATION, 1.0)
        hue = self._maybe(-_HUE, _HUE, 0.0)

        def distort(image: np.ndarray) -> np.ndarray:
            image = _clipped(image.astype(np.float32) + brightness)
            if contrast_first:
                image = _clipped(image.astype(np.float32) * contrast)
            if saturation != 1 or hue != 0:
                image = self._in_hsv(image, saturation, hue)
            return image if contrast_first else _clipped(image.astype(np.float32) * contrast)

        return T.ColorTransform(distort)

    def _maybe(self, low: float, high: float, otherwise: float) -> float:
        drawn = self._rand_range(low, high)
        return drawn if np.random.uniform() < 0.5 else otherwise

    def _in_hsv(self, image: np.ndarray, saturation: float, hue: float) -> np.ndarray:
        step = -1 if self.flipped else 1
        picture = Image.fromarray(np.ascontiguousarray(image[..., ::step])).convert("HSV")
        values = np.asarray(picture).astype(np.float32)
        values[..., 0] = np.rint(values[..., 0] + 256 * hue) % 256
        values[..., 1] *= saturation
        changed = Image.fromarray(_clipped(values), mode="HSV").convert("RGB")
        return np.asarray(changed)[..., ::step]


def _clipped(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


class PadTo(T.Augmentation):
    """Pad right and bottom to a size: the image with black, labels with ignored."""

    def __init__(self, size: Sequence[int]) -> None:
        """
        Args:
            size: height and width; a larger image stays as it is.
        """
        super().__init__()
        self.size = size

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """A padding of image (H, W, 3)."""
        height, width = image.shape[:2]
        below, right = (
            max(wanted - there, 0) for wanted, there in zip(self.size, (height, width), strict=True)
        )
        return _Pad(0, 0, right, below, orig_w=width, orig_h=height)


class _Pad(T.PadTransform):
    def apply_segmentation(self, img: np.ndarray) -> np.ndarray:
        """Colours (H, W, 3) are padded with 0, no segment; labels (H, W) with 255."""
        padding = ((self.y0, self.y1), (self.x0, self.x1), (0, 0))[: img.ndim]
        return np.pad(img, padding, constant_values=0 if img.ndim == 3 else 255)
