"""A trained model as a function of one image."""

import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import build_model

from pading.checkpoint.checkpointer import Checkpointer
from pading.config.settings import check_settings
from pading.data.augmentations import build_augmentations
from pading.data.catalogue import register_datasets
from pading.data.coco_formats import coco_detections, panoptic_segments
from pading.engine.environment import check_device
from pading.engine.setup import check_weights
from pading.errors import InputError
from pading.models.pading.naming import save_trained
from pading.models.pading.new_classes import add_classes, read_trained
from pading.visualize import (
    SegmentMap,
    draw_segments,
    enlargement,
    segments_of_detections,
    segments_of_labels,
)
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import ClassSplit

# The masks of all queries are held at the size of the result: a photograph of 24 million pixels
# would take ten gigabytes for them. Results of larger images are enlarged from this size.
_MOST_PIXELS = 4_000_000


@dataclass(frozen=True)
class PanopticResult:
    """Every pixel in at most one segment.

    Args:
        ids: H x W int32, 0 where there is no segment.
        segments: "id", "category_id" and "score" of each.
    """

    ids: np.ndarray
    segments: list[dict[str, Any]]


@dataclass(frozen=True)
class Prediction:
    """The results of an image at its own size; None for a task that the model is not set to.

    Classes are the "id" of the class split, which is the category id of the data set.

    Args:
        panoptic: segments that do not overlap.
        instance: COCO's results: "category_id", "bbox" (x, y, width, height), "segmentation" (RLE)
            and "score" of each.
        semantic: H x W class ids, uint8 (uint16 where the split has an id above 255).
    """

    panoptic: PanopticResult | None
    instance: list[dict[str, Any]] | None
    semantic: np.ndarray | None


@dataclass(frozen=True)
class Preparation:
    """From an image to what the model takes; can be sent to another process."""

    augmentations: T.AugmentationList
    image_format: str

    def __call__(self, image: np.ndarray) -> dict[str, Any]:
        """
        Args:
            image: H x W x 3, uint8, RGB.
        """
        height, width = image.shape[:2]
        shrink = min(1.0, (_MOST_PIXELS / (height * width)) ** 0.5)
        ordered = image if self.image_format == "RGB" else image[..., ::-1]
        augmented = T.AugInput(np.ascontiguousarray(ordered))
        self.augmentations(augmented)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(augmented.image.transpose(2, 0, 1))),
            "height": max(1, round(height * shrink)),
            "width": max(1, round(width * shrink)),
        }


class Predictor:
    """A trained model, ready for images.

        predictor = Predictor(load_config("configs/panoptic/PADing.yaml", ["MODEL.WEIGHTS", path]))
        prediction = predictor(image)

    The tasks are those of MODEL.INFERENCE; the classes are ``split``'s, that of the data sets that
    the configuration names (their files are not needed).
    """

    def __init__(self, cfg: CfgNode) -> None:
        """
        Args:
            cfg: of :func:`pading.load_config`; MODEL.WEIGHTS is a trained model.

        Raises:
            InputError: what of the configuration, the weights or the device cannot work.
        """
        check_settings(cfg)
        check_device(cfg.MODEL.DEVICE)
        self._weights = check_weights(cfg, trained=True)
        self.cfg = cfg.clone()
        self.tasks = tuple(
            task
            for task in ("panoptic", "instance", "semantic")
            if cfg.MODEL.INFERENCE[f"{task.upper()}_ON"]
        )
        if not self.tasks:
            raise InputError(
                "nothing to predict: switch on MODEL.INFERENCE.PANOPTIC_ON, INSTANCE_ON or "
                "SEMANTIC_ON"
            )
        register_datasets(cfg)
        self.model = build_model(cfg).eval()
        self.split: ClassSplit = self.model.split
        Checkpointer(self.model).load(cfg.MODEL.WEIGHTS)
        self.prepare = Preparation(
            T.AugmentationList(build_augmentations(cfg, is_train=False)), cfg.INPUT.FORMAT
        )

    def __call__(self, image: np.ndarray) -> Prediction:
        """
        Args:
            image: H x W x 3, uint8, RGB.

        Raises:
            InputError: another shape or type.
        """
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(
                f"an image is H x W x 3 of uint8 (RGB), not {' x '.join(map(str, image.shape))} "
                f"of {image.dtype}"
            )
        height, width, _ = image.shape
        return finish(self.infer(self.prepare(image)), self.split, (height, width))

    def add_classes(self, vectors: ClassVectors, stuff: Sequence[str] = ()) -> "Predictor":
        """A predictor that knows more classes, by their names; this one stays as it is.

        :func:`pading.models.pading.naming.vectors_by_encoder` makes the vectors out of names.

        Args:
            vectors: of the new classes, from the encoder that made the model's.
            stuff: those that are stuff.

        Raises:
            InputError: what :func:`pading.models.pading.new_classes.add_classes` refuses.
        """
        grown = add_classes(read_trained(self._weights), vectors, stuff)
        folder = tempfile.TemporaryDirectory()
        cfg = self.cfg.clone()
        cfg.defrost()
        cfg.merge_from_list(save_trained(grown, f"{folder.name}/model.pth"))
        predictor = Predictor(cfg)
        # They last as long as it does: it takes further classes from them.
        weakref.finalize(predictor, folder.cleanup)
        return predictor

    @torch.no_grad()
    def infer(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The model's results for what :class:`Preparation` gives, small, as NumPy arrays."""
        [output] = self.model([inputs])
        raw: dict[str, Any] = {}
        if "panoptic_seg" in output:
            ids, segments = output["panoptic_seg"]
            raw["panoptic"] = ids.cpu().numpy(), segments
        if "instances" in output:
            instances = output["instances"].to("cpu")
            masks = instances.pred_masks.numpy()
            labels, scores = instances.pred_classes.tolist(), instances.scores.tolist()
            raw["instance"] = np.packbits(masks, axis=-1), masks.shape[-1], labels, scores
        if "sem_seg" in output:
            raw["semantic"] = output["sem_seg"].argmax(0).short().cpu().numpy()
        return raw

    def draw(
        self, image: np.ndarray, prediction: Prediction, min_score: float = 0.3
    ) -> dict[str, np.ndarray]:
        """Pictures by task; see :func:`draw_prediction`."""
        return draw_prediction(image, prediction, self.split, min_score)


def finish(raw: Mapping[str, Any], split: ClassSplit, size: tuple[int, int]) -> Prediction:
    """From :meth:`Predictor.infer` to results at the size (height, width) of the image."""
    panoptic, instance, semantic = None, None, None
    if "panoptic" in raw:
        ids, segments = raw["panoptic"]
        panoptic = PanopticResult(_enlarged(ids, size), panoptic_segments(segments, split))
    if "instance" in raw:
        packed, width, labels, scores = raw["instance"]
        instance = coco_detections(_unpacked(packed, width, size), labels, scores, split)
    if "semantic" in raw:
        class_ids = np.array([info.id for info in split.classes])
        kind = np.min_scalar_type(class_ids.max())
        semantic = _enlarged(class_ids.astype(kind)[raw["semantic"]], size)
    return Prediction(panoptic, instance, semantic)


def draw_prediction(
    image: np.ndarray, prediction: Prediction, split: ClassSplit, min_score: float
) -> dict[str, np.ndarray]:
    """A picture for each task of the prediction; small images are enlarged for the labels.

    Args:
        image: H x W x 3, uint8, RGB.
        prediction: of this image.
        split: its classes.
        min_score: instances that score less are not drawn.

    Returns:
        "panoptic", "instance", "semantic" -> H' x W' x 3, uint8, RGB.
    """
    size: tuple[int, int] = image.shape[:2]
    maps = {}
    if prediction.panoptic is not None:
        segments = [
            {"id": s["id"], "category_id": split.contiguous_id[s["category_id"]]}
            for s in prediction.panoptic.segments
        ]
        maps["panoptic"] = SegmentMap(prediction.panoptic.ids, segments)
    if prediction.instance is not None:
        maps["instance"] = segments_of_detections(prediction.instance, split, size, min_score)
    if prediction.semantic is not None:
        labels = np.zeros(max(split.contiguous_id) + 1, dtype=np.uint16)
        for category, index in split.contiguous_id.items():
            labels[category] = index
        maps["semantic"] = segments_of_labels(labels[prediction.semantic])
    scale = enlargement(*size)
    return {task: draw_segments(image, found, split, scale) for task, found in maps.items()}


def _unpacked(packed: np.ndarray, width: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """One mask at a time: a hundred of a large photograph do not fit in memory."""
    for bits in packed:
        yield _enlarged(np.unpackbits(bits, axis=-1, count=width), size)


def _enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """H x W values at another size, by the nearest."""
    if values.shape == size:
        return values
    rows, columns = (
        np.arange(wanted) * found // wanted
        for wanted, found in zip(size, values.shape, strict=True)
    )
    return values[rows[:, None], columns]
