"""The results of one image: what they are, how they look, and where they go."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pading.data.coco_formats import categories, coco_detections, panoptic_segments
from pading.data.images import require_size
from pading.errors import InputError
from pading.prediction import result_formats
from pading.vocabulary.splits import ClassInfo, ClassSplit


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
class Scores:
    """What the results were chosen by; None for a task that was not asked for.

    K classes in the order of ``Prediction.classes``; the scores are probabilities, less what
    MODEL.INFERENCE.SEEN_BIAS takes off seen classes.

    Args:
        panoptic: (segments, K) float32, in the order of the segments.
        instance: (instances, K) float32, in the order of the detections.
        semantic: (K, h, w) float16, at the size at which the model looked (images above four
            million pixels are looked at smaller).
    """

    panoptic: np.ndarray | None = None
    instance: np.ndarray | None = None
    semantic: np.ndarray | None = None


@dataclass(frozen=True)
class Prediction:
    """The results of an image at its own size; None for a task that the model is not set to.

    Classes are the "id" of the class split, which is the category id of the data set.

    Args:
        panoptic: segments that do not overlap.
        instance: COCO's results: "category_id", "bbox" (x, y, width, height), "segmentation" (RLE)
            and "score" of each.
        semantic: H x W class ids, uint8 (uint16 where the split has an id above 254).
        scores: what they were chosen by, where that was kept.
        split: the classes.
        image: H x W x 3 uint8, RGB: what was looked at.
        name: of the image, without extension.
    """

    panoptic: PanopticResult | None
    instance: list[dict[str, Any]] | None
    semantic: np.ndarray | None
    scores: Scores = field(default_factory=Scores)
    split: ClassSplit | None = None
    image: np.ndarray | None = None
    name: str = "image"

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Id, name, thing or stuff, seen or unseen, of every class that may be found."""
        return self.split.classes if self.split else ()

    def pictures(self, min_score: float = 0.3) -> dict[str, Image.Image]:
        """A picture for each task, by its name; instances that score less are not drawn."""
        if self.image is None or self.split is None:
            raise InputError("this prediction has no image; Predictor.predict gives one that has")
        drawn = draw_prediction(self.image, self, self.split, min_score)
        return {task: Image.fromarray(picture) for task, picture in drawn.items()}

    def show(self, task: str = "", min_score: float = 0.3) -> Image.Image:
        """The picture of a task, shown where this runs in a notebook, and given back.

        Args:
            task: "panoptic", "instance" or "semantic"; "": the first that there is.
            min_score: instances that score less are not drawn.

        Raises:
            InputError: there are no results of that task.
        """
        pictures = self.pictures(min_score)
        chosen = task or next(iter(pictures))
        if chosen not in pictures:
            raise InputError(f"there are no {chosen} results; there are {', '.join(pictures)}")
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:  # no notebook
            return pictures[chosen]
        if get_ipython() is not None:
            display(pictures[chosen])
        return pictures[chosen]

    def save(self, folder: str | Path, min_score: float = 0.3) -> None:
        """Write the files that ``pading predict`` writes of one image into a folder.

        Raises:
            InputError: it cannot be written.
        """
        from pading.prediction.writing import save_prediction  # which knows what a prediction is

        save_prediction(self, folder, min_score)

    def to_yolo(self, min_score: float = 0.3) -> str:
        """Lines of YOLO segmentation; instances that score less are left out, as below."""
        return result_formats.to_yolo(self, min_score)

    def to_label_map(self, min_score: float = 0.3) -> np.ndarray:
        """H x W class ids; the largest value (255, or 65535) where nothing is."""
        return result_formats.to_label_map(self, min_score)

    def to_supervision(self, min_score: float = 0.3) -> Any:
        """``supervision.Detections``; needs the extra ``supervision``."""
        return result_formats.to_supervision(self, min_score)

    def to_fiftyone(self, min_score: float = 0.3) -> Any:
        """``fiftyone.Detections``; needs the package fiftyone."""
        return result_formats.to_fiftyone(self, min_score)

    def to_datumaro(self, min_score: float = 0.3, file_name: str = "") -> dict[str, Any]:
        """An item of Datumaro's own format; ``file_name``: the image's (default: its name)."""
        return result_formats.to_datumaro(self, min_score, file_name)

    def to_coco(self) -> dict[str, Any]:
        """COCO's formats as dictionaries.

        Returns:
            "image" (file_name, height, width), "categories", and for the tasks that there are
            "panoptic" (segments_info) and "instance" (detections). Segment and label maps are
            ``panoptic.ids`` and ``semantic``.
        """
        if self.image is None or self.split is None:
            raise InputError("this prediction has no image; Predictor.predict gives one that has")
        height, width = self.image.shape[:2]
        found: dict[str, Any] = {
            "image": {"file_name": self.name, "height": height, "width": width},
            "categories": categories(self.split),
        }
        if self.panoptic is not None:
            found["panoptic"] = self.panoptic.segments
        if self.instance is not None:
            found["instance"] = self.instance
        return found


def finish(
    raw: Mapping[str, Any], split: ClassSplit, image: np.ndarray, name: str = "image"
) -> Prediction:
    """From :meth:`~pading.prediction.predictor.Predictor.infer` to results at the image's size.

    Args:
        raw: what the model found.
        split: the classes.
        image: H x W x 3 uint8, RGB.
        name: of the image, without extension.
    """
    size: tuple[int, int] = image.shape[:2]
    panoptic, instance, semantic = None, None, None
    if "panoptic" in raw:
        ids, segments = raw["panoptic"]
        panoptic = PanopticResult(_enlarged(ids, size), panoptic_segments(segments, split))
    if "instance" in raw:
        packed, width, labels, scores = raw["instance"]
        instance = coco_detections(_unpacked(packed, width, size), labels, scores, split)
    if "semantic" in raw:
        class_ids = np.array([info.id for info in split.classes])
        kind = np.min_scalar_type(class_ids.max() + 1)  # in 8 bits 255 is ignored
        semantic = _enlarged(class_ids.astype(kind)[raw["semantic"]], size)
    scores = Scores(**raw.get("scores", {}))
    return Prediction(panoptic, instance, semantic, scores, split, image, name)


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

    Raises:
        InputError: the prediction is of an image of another size.
    """
    from pading.visualize import (  # which needs more than an exported model does
        SegmentMap,
        draw_segments,
        enlargement,
        segments_of_detections,
        segments_of_labels,
    )

    size: tuple[int, int] = image.shape[:2]
    if prediction.image is not None:
        require_size("the image to draw on", size, prediction.image.shape[:2], "its prediction")
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
