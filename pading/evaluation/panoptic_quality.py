"""Panoptic quality of a class split, computed by panopticapi.

Source: Kirillov et al., Panoptic Segmentation (CVPR 2019), Eq. 1: PQ = SQ x RQ.
"""

import contextlib
import inspect
import io
import logging
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from panopticapi.evaluation import PQStat, pq_compute_single_core
from PIL import Image
from tqdm import tqdm

from pading.data.annotation_checks import below, check_categories, read_segments
from pading.data.coco_formats import categories, panoptic_png, panoptic_segments
from pading.data.images import read_panoptic_png, require_size, segment_ids
from pading.data.masks import panoptic_faults
from pading.errors import InputError
from pading.evaluation.evaluator import TaskEvaluator
from pading.evaluation.groups import Metric, Scores, summarise
from pading.evaluation.image_names import listed_names, true_ids
from pading.files import field, read_json, write_json
from pading.vocabulary.splits import ClassSplit

logger = logging.getLogger(__name__)

TASK = "panoptic_seg"
# Without its decorator, which prints a stack trace of every error.
_compare = inspect.unwrap(pq_compute_single_core)


def score_panoptic(
    ground_truth_json: str | Path,
    ground_truth_folder: str | Path,
    prediction_json: str | Path,
    prediction_folder: str | Path,
    split: ClassSplit,
) -> Scores:
    """PQ, SQ and RQ of predictions in COCO's panoptic format (JSON and folder of PNG files).

    Both JSON files hold ``annotations``, one per image: ``image_id``, ``file_name`` of the PNG in
    the folder, ``segments_info`` with ``id`` (R + 256 G + 256^2 B in the PNG; 0 is unlabelled) and
    ``category_id`` of the data set. A class with neither ground truth nor prediction is left out
    of every mean. Images without a prediction count as empty ones, with a warning.

    Raises:
        InputError: names the file and the entry: unknown or repeated image, category outside the
            split, PNG missing, broken or of another size, segments that PNG and JSON disagree on.
    """
    truth = read_annotations(ground_truth_json, ground_truth_folder, split, ground_truth=True)
    named = read_annotations(prediction_json, prediction_folder, split, ground_truth=False)
    predicted = _by_true_id(named, truth, prediction_json, ground_truth_json)
    folders = (Path(ground_truth_folder), Path(prediction_folder))
    missing = check_images(truth, predicted, prediction_json, ground_truth_json)
    for image_id, annotation in predicted.items():
        files = _png_files(folders, (truth[image_id], annotation))
        truth_size, size = (_png_size(path) for path in files)
        require_size(str(files[1]), size, truth_size, str(files[0]))
    categories = {info.id: {"isthing": int(info.isthing)} for info in split.classes}

    def score_image(image_id: Any) -> PQStat:
        if image_id in missing:
            return _score_empty(truth[image_id])
        pair = [(truth[image_id], predicted[image_id])]
        try:
            _count_areas(truth[image_id], folders[0])
            return _compare(0, pair, *folders, categories)
        except (KeyError, OSError, SyntaxError) as error:
            files = _png_files(folders, pair[0])
            raise InputError(
                f"{files[1]} against {files[0]} (image_id {image_id}): {error}; "
                "write PNG and JSON again"
            ) from error

    total = PQStat()
    workers = min(8, os.cpu_count() or 1)
    # panopticapi prints its progress for every call; ours is the bar. The order of the sum is
    # that of the ground truth, so that the result does not depend on the number of workers.
    with contextlib.redirect_stdout(io.StringIO()), ThreadPoolExecutor(workers) as pool:
        for stat in tqdm(pool.map(score_image, truth), "panoptic quality", len(truth), leave=False):
            total += stat
    return _summarise(total, split)


Annotations = Mapping[Any, dict[str, Any]]


def _by_true_id(
    predicted: Annotations, truth: Annotations, predictions: Any, ground_truth: Any
) -> Annotations:
    """The predictions by the ids of the ground truth, found by file name where both have one."""
    found, known = (
        {i: a["image_name"] for i, a in side.items() if "image_name" in a}
        for side in (predicted, truth)
    )
    if len(found) < len(predicted) or len(known) < len(truth):
        return predicted
    ids = true_ids(found, known, predictions, ground_truth)
    return {ids[image_id]: annotation for image_id, annotation in predicted.items()}


def _summarise(stat: PQStat, split: ClassSplit) -> Scores:
    per_class = [stat[info.id] for info in split.classes]
    iou = np.array([entry.iou for entry in per_class])
    tp, fp, fn = (np.array([getattr(entry, n) for entry in per_class]) for n in ("tp", "fp", "fn"))
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of a class that does not occur
        rq = tp / (tp + 0.5 * fp + 0.5 * fn)
        sq = np.where(np.isnan(rq), np.nan, iou / np.maximum(tp, 1))
    return summarise(
        TASK,
        split,
        [
            Metric("PQ", 100 * sq * rq, harmonic=True, column="pq"),
            Metric("SQ", 100 * sq, column="sq"),
            Metric("RQ", 100 * rq, column="rq"),
        ],
        counts={"tp": tp, "fp": fp, "fn": fn},
    )


def _count_areas(annotation: Mapping[str, Any], folder: Path) -> None:
    """Set every segment's ``area`` to its pixels in the PNG: panopticapi believes a stored one.

    Raises:
        InputError: the PNG cannot be read; PNG and annotation disagree on the segments.
    """
    path = str(folder / annotation["file_name"])
    ids, counts = np.unique(segment_ids(read_panoptic_png(path)), return_counts=True)
    areas = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    for fault in panoptic_faults({**annotation, "pan_seg_file_name": path}, areas):
        raise fault
    for segment in annotation["segments_info"]:
        segment["area"] = areas[segment["id"]]


def _score_empty(truth: Mapping[str, Any]) -> PQStat:
    """What a prediction without a segment scores: every segment but the crowds is missed."""
    stat = PQStat()
    for segment in truth["segments_info"]:
        if not segment["iscrowd"]:
            stat[segment["category_id"]].fn += 1
    return stat


def check_images(
    truth: Collection[Any], predicted: Collection[Any], predictions: Any, ground_truth: Any
) -> set[Any]:
    """The images of ``truth`` without a prediction, which are warned of.

    Args:
        truth: ids or names of the images that have ground truth.
        predicted: those of the images that have a prediction.
        predictions: where the predictions come from, for the message.
        ground_truth: where the ground truth comes from.

    Raises:
        InputError: a prediction is for an image without ground truth.
    """
    unknown = set(predicted) - set(truth)
    if unknown:
        raise InputError(
            f"{predictions}: image_id {min(unknown, key=str)} is not in {ground_truth} "
            f"({len(unknown)} such images); score predictions of the same data set"
        )
    missing = set(truth) - set(predicted)
    if missing:
        message = "%s: %d of %d images have no prediction and count as empty"
        logger.warning(message, predictions, len(missing), len(truth))
    return missing


def read_annotations(
    path: str | Path, folder: str | Path, split: ClassSplit, ground_truth: bool
) -> dict[Any, dict[str, Any]]:
    """Checked annotations of a COCO panoptic JSON file by image id, in its order.

    Where the file lists the image, image_name is the name of its file.

    Raises:
        InputError: names file and entry: a key missing, an image twice, a category outside.
    """
    content = read_json(path)
    annotations: dict[Any, dict[str, Any]] = {}
    names = listed_names(content, str(path))
    listed = field(content, "annotations", list, str(path))
    for note in check_categories(content, split, str(path))[:1]:
        logger.warning(note)
    for index, entry in enumerate(listed):
        where = f"{path}: annotations[{index}]"
        image_id = field(entry, "image_id", (int, str), where)
        if image_id in annotations:
            raise InputError(f"{where}: image_id {image_id} occurs twice; keep one of them")
        below(str(folder), field(entry, "file_name", str, where), where)
        where += f" (image_id {image_id})"
        segments = list(read_segments(entry, split, where))
        annotations[image_id] = {**entry, "segments_info": segments} if ground_truth else entry
        if image_id in names:
            annotations[image_id]["image_name"] = names[image_id]
    return annotations


def _png_files(
    folders: Sequence[Path], annotations: Sequence[Mapping[str, Any]]
) -> tuple[Path, ...]:
    return tuple(
        folder / annotation["file_name"]
        for folder, annotation in zip(folders, annotations, strict=True)
    )


def _png_size(path: Path) -> tuple[int, int]:
    """Height and width of a PNG with ids in its colours, from its header."""
    try:
        with Image.open(path) as image:
            kind, mode, (width, height) = image.format, image.mode, image.size
    except OSError as error:
        raise InputError(f"{path}: is missing or no image ({error}); write it again") from error
    if kind != "PNG" or mode not in ("RGB", "RGBA"):
        raise InputError(f"{path}: is {kind} of mode {mode}; panoptic ids are stored in an RGB PNG")
    return height, width


class PanopticEvaluator(TaskEvaluator):
    """Scores the model's ``panoptic_seg`` and keeps it as COCO panoptic JSON and PNG files.

    ``output_dir/panoptic_predictions.json`` is written last: where it stands, the PNG files in
    ``output_dir/panoptic_predictions`` are complete.

    Args:
        dataset_name: registered, with ``split``, ``panoptic_json`` and ``panoptic_root``.
        output_dir: where the predictions are stored.
    """

    def __init__(self, dataset_name: str, output_dir: str | Path) -> None:
        super().__init__()
        metadata = MetadataCatalog.get(dataset_name)
        self._split: ClassSplit = metadata.split
        self._truth = (metadata.panoptic_json, metadata.panoptic_root)
        self._folder = Path(output_dir) / "panoptic_predictions"
        self._json = self._folder.with_suffix(".json")

    def record(self, image: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        ids, segments = output["panoptic_seg"]
        return {
            "png": panoptic_png(ids.cpu().numpy()),
            "segments_info": panoptic_segments(segments, self._split),
        }

    def score(self, records: Mapping[Any, Any]) -> tuple[Scores, ...]:
        self._store(records)
        return (score_panoptic(*self._truth, self._json, self._folder, self._split),)

    def _store(self, records: Mapping[Any, Any]) -> None:
        self._json.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        annotations = []
        for image_id, record in records.items():
            name = f"{image_id}.png"
            (self._folder / name).write_bytes(record["png"])
            segments = record["segments_info"]
            annotations.append({"image_id": image_id, "file_name": name, "segments_info": segments})
        content = {"annotations": annotations, "categories": categories(self._split)}
        write_json(self._json, content)
