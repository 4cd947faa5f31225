"""Results in the forms that other tools take, whose packages are imported when they are needed."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pading.data.rle import decode_mask, encode_mask
from pading.errors import InputError
from pading.vocabulary.splits import ClassInfo

_EXTRAS = {"cv2": "'pading[video]'", "supervision": "'pading[supervision]'"}
"""Package -> the extra that brings it. FiftyOne is the user's to install: it asks for another
OpenCV and Starlette than ours."""

if TYPE_CHECKING:  # which has these as methods
    from pading.prediction.result import Prediction


def masks_of(
    found: "Prediction", min_score: float
) -> Iterator[tuple[ClassInfo, float, np.ndarray]]:
    """Class, score and mask (H x W, bool) of every instance, else of every segment or class.

    Raises:
        InputError: the prediction has no split.
    """
    if found.split is None:
        raise InputError("this prediction has no classes; Predictor.predict gives one that has")
    infos = {info.id: info for info in found.split.classes}
    if found.instance is not None:
        for detection in found.instance:
            if detection["score"] >= min_score:
                mask = decode_mask(detection["segmentation"])
                yield infos[detection["category_id"]], float(detection["score"]), mask
    elif found.panoptic is not None:
        for segment in found.panoptic.segments:
            mask = found.panoptic.ids == segment["id"]
            yield infos[segment["category_id"]], float(segment.get("score", 1.0)), mask
    elif found.semantic is not None:
        for class_id in np.unique(found.semantic).tolist():
            if class_id in infos:
                yield infos[class_id], 1.0, found.semantic == class_id


def to_yolo(found: "Prediction", min_score: float) -> str:
    """YOLO segmentation: a line for each outline, of a class's place and x y ... in [0, 1]."""
    cv2 = package("cv2")
    lines = []
    places = {info.id: place for place, info in enumerate(found.classes)}
    for info, _, mask in masks_of(found, min_score):
        height, width = mask.shape
        outlines, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        for outline in outlines:
            if len(outline) >= 3:
                points = (outline.reshape(-1, 2) / (width, height)).ravel()
                numbers = " ".join(f"{value:.6f}" for value in points)
                lines.append(f"{places[info.id]} {numbers}")
    return "".join(f"{line}\n" for line in lines)


def to_label_map(found: "Prediction", min_score: float) -> np.ndarray:
    """H x W class ids, uint8 (uint16 where an id is above 254); the largest value where nothing is.

    Instances lie on each other, the best on top.
    """
    if found.semantic is not None:
        return found.semantic
    largest = max((info.id for info in found.classes), default=0)
    dtype, nothing = (np.uint8, 255) if largest < 255 else (np.uint16, 65535)
    values: np.ndarray | None = None
    for info, _, mask in sorted(masks_of(found, min_score), key=lambda one: one[1]):
        if values is None:
            values = np.full(mask.shape, nothing, dtype=dtype)
        values[mask] = info.id
    if values is None:
        if found.image is None:
            raise InputError("this prediction has no image; Predictor.predict gives one that has")
        values = np.full(found.image.shape[:2], nothing, dtype=dtype)
    return values


def to_supervision(found: "Prediction", min_score: float) -> Any:
    """``supervision.Detections``, with boxes, masks, scores, class ids and names."""
    supervision = package("supervision")
    rows = [row for row in masks_of(found, min_score) if row[2].any()]
    if not rows:
        return supervision.Detections.empty()
    masks = np.stack([mask for _, _, mask in rows])
    return supervision.Detections(
        xyxy=np.array([_box(mask) for mask in masks], dtype=np.float32),
        mask=masks,
        confidence=np.array([score for _, score, _ in rows], dtype=np.float32),
        class_id=np.array([info.id for info, _, _ in rows]),
        data={"class_name": np.array([info.name for info, _, _ in rows])},
    )


def to_fiftyone(found: "Prediction", min_score: float) -> Any:
    """``fiftyone.Detections``, with boxes in shares of the image and masks in their boxes."""
    fiftyone = package("fiftyone")
    detections = []
    for info, score, mask in masks_of(found, min_score):
        if not mask.any():
            continue
        height, width = mask.shape
        left, top, right, bottom = _box(mask)
        box = [left / width, top / height, (right - left) / width, (bottom - top) / height]
        part = mask[top:bottom, left:right]
        detections.append(
            fiftyone.Detection(label=info.name, bounding_box=box, mask=part, confidence=score)
        )
    return fiftyone.Detections(detections=detections)


def fiftyone_sample(found: "Prediction", path: Path, min_score: float) -> Any:
    """``fiftyone.Sample`` of an image's file, with the result as its field "predictions"."""
    sample = package("fiftyone").Sample(filepath=str(path.absolute()))
    sample["predictions"] = to_fiftyone(found, min_score)
    return sample


def to_datumaro(found: "Prediction", min_score: float, file_name: str = "") -> dict[str, Any]:
    """An item of Datumaro's own format (:mod:`pading.data.formats.datumaro_export` reads it)."""
    places = {info.id: place for place, info in enumerate(found.classes)}
    annotations = []
    for number, (info, score, mask) in enumerate(masks_of(found, min_score)):
        annotations.append(
            {
                "id": number,
                "type": "mask",
                "label_id": places[info.id],
                "group": 0,
                "attributes": {"score": score},
                "rle": encode_mask(mask),
            }
        )
    item: dict[str, Any] = {"id": found.name, "annotations": annotations}
    if found.image is not None:
        item["image"] = {"path": file_name or found.name, "size": list(found.image.shape[:2])}
    return item


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a mask that is not empty; the last two are outside."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def package(name: str) -> Any:
    """A package that only some forms of results need.

    Raises:
        InputError: it is not installed; names what to install.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        what = _EXTRAS.get(name, name)
        raise InputError(f"this needs the package {name}; run: pip install {what}") from error
