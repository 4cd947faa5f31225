"""Zero-shot instance scores on pycocotools: AP and Recall@100 of masks and boxes.

Generalised (GZSI): all classes are scored together, and reported as seen, unseen, harmonic. Plain
(ZSI): only the unseen classes are candidates and scored. Means are over classes with ground truth.
"""

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pading.data.annotation_checks import (
    category_of,
    check_box,
    check_categories,
    check_segmentation,
    crowd_flag,
    is_box,
)
from pading.data.coco_formats import coco_detections
from pading.data.mask_geometry import box_of, compressed, is_box_of, refuse_other_boxes
from pading.data.rle import check_rle
from pading.data.tasks import Setting
from pading.errors import InputError
from pading.evaluation.evaluator import TaskEvaluator
from pading.evaluation.groups import Metric, Scores, summarise
from pading.evaluation.image_names import listed_names, true_ids
from pading.evaluation.panoptic_quality import check_images
from pading.files import field, read_json, write_json
from pading.vocabulary.splits import ClassSplit

_logger = logging.getLogger(__name__)

# What names the images of an instance.json.
_BESIDE = ("panoptic.json", "semantic.json", "images.json")
MAX_DETECTIONS = 100
_COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_THRESHOLDS = np.append(0.4, _COCO_THRESHOLDS)
_REPORTED = {40: 0, 50: 1, 60: 3}  # per cent -> place in _THRESHOLDS
_GROUPS = {"gzsi": ("all", "seen", "unseen", "harmonic"), "zsi": ("unseen",)}


def score_instances(
    ground_truth_json: str | Path,
    prediction_json: str | Path,
    split: ClassSplit,
    setting: Setting = "gzsi",
) -> tuple[Scores, Scores]:
    """Score a COCO results file: masks ("segm") and boxes ("bbox").

    Args:
        ground_truth_json: COCO instance annotations; all categories are of the split.
        prediction_json: list of {image_id, category_id, score, segmentation (compressed RLE), and
            perhaps bbox (x, y, width, height); by default that of the mask}. The best 100 of an
            image and class count. Images without a prediction count as empty ones, with a warning.
        split: the classes.
        setting: see above.

    Raises:
        InputError: names file and entry: unknown image or category, wrong size, broken RLE.
    """
    truth = _read_ground_truth(ground_truth_json, split)
    ids = _true_ids(prediction_json, truth, ground_truth_json)
    detections = _read_detections(prediction_json, split, truth["images"], ids)
    images = {image["id"] for image in truth["images"]}
    predicted = {detection["image_id"] for detection in detections}
    check_images(images, predicted, prediction_json, ground_truth_json)
    return _score_detections(truth, detections, split, setting)


def _score_detections(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    split: ClassSplit,
    setting: Setting,
) -> tuple[Scores, Scores]:
    # All that pycocotools wants of a detection beside what a results file holds.
    boxes = [{**d, "iscrowd": 0, "area": d["bbox"][2] * d["bbox"][3]} for d in detections]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it is about
        expected, found = _coco(truth, truth["annotations"]), _coco(truth, boxes)
        return (
            _score(expected, found, "segm", split, setting),
            _score(expected, found, "bbox", split, setting),
        )


def _coco(truth: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> COCO:
    coco = COCO()
    # Ids of our own: pycocotools takes an object with the id 0 for no match, and of two with one
    # id it keeps one.
    coco.dataset = {
        "images": truth["images"],
        "categories": truth["categories"],
        "annotations": [{**a, "id": number} for number, a in enumerate(annotations, start=1)],
    }
    coco.createIndex()
    return coco


def _score(truth: COCO, detections: COCO, task: str, split: ClassSplit, setting: Setting) -> Scores:
    scored = split.unseen if setting == "zsi" else range(split.num_classes)
    run = COCOeval(truth, detections, task)
    run.params.catIds = [split.classes[i].id for i in scored]
    run.params.iouThrs = _THRESHOLDS
    run.params.maxDets = [MAX_DETECTIONS]
    run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
    run.evaluate()
    run.accumulate()
    # Thresholds x recall levels x classes (ascending ids), and thresholds x classes; -1 where a
    # class has no ground truth.
    precision, recall = run.eval["precision"][..., 0, 0], run.eval["recall"][..., 0, 0]
    order = [split.contiguous_id[category] for category in sorted(run.params.catIds)]

    def in_split_order(values: np.ndarray) -> np.ndarray:
        result = np.full(split.num_classes, np.nan)
        result[order] = np.where(values < 0, np.nan, 100 * values)
        return result

    figures = {"AP": precision[1:].mean(axis=(0, 1))}
    figures |= {f"AP{t}": precision[place].mean(axis=0) for t, place in _REPORTED.items()}
    figures |= {f"recall{t}": recall[place] for t, place in _REPORTED.items()}
    metrics = [
        Metric(label, in_split_order(values), harmonic=True, column=label.lower())
        for label, values in figures.items()
    ]
    return summarise(task, split, metrics, groups=_GROUPS[setting])


def _read_ground_truth(path: str | Path, split: ClassSplit) -> dict[str, Any]:
    content = read_json(path)
    for key in ("images", "annotations"):
        field(content, key, list, str(path))
    sizes: dict[Any, list[int]] = {}
    for index, image in enumerate(content["images"]):
        where = f"{path}: images[{index}]"
        image_id = field(image, "id", (int, str), where)
        if image_id in sizes:
            raise InputError(f"{where}: the id {image_id} occurs twice; keep one of them")
        sizes[image_id] = [field(image, side, int, where) for side in ("height", "width")]
    for note in check_categories(content, split, str(path))[:1]:
        _logger.warning(note)
    annotations = []
    differing: list[str] = []
    for index, annotation in enumerate(content["annotations"]):
        where = f"{path}: annotations[{index}]"
        _check_entry(annotation, sizes, split, where)
        size = sizes[annotation["image_id"]]
        check_box(annotation, size, where)
        mask = check_segmentation(annotation, size, where)
        if not mask:  # polygons of fewer than three corners are left out, as in training
            continue
        box = box_of(mask, size)
        if is_box_of(annotation.get("bbox", box), mask, size):
            box = annotation.get("bbox", box)
        else:
            differing.append(where)
        counted = {"iscrowd": crowd_flag(annotation, where), "segmentation": mask, "bbox": box}
        # Objects of every size are scored, so that no area counts; pycocotools wants one.
        annotations.append({**annotation, **counted, "area": 0})
    if differing:
        _logger.warning(
            "%s: the bbox is not that of the mask, nor are those of %d others; "
            "the boxes of the masks are scored",
            differing[0],
            len(differing) - 1,
        )
    categories = [{"id": info.id, "name": info.name} for info in split.classes]
    return {**content, "annotations": annotations, "categories": categories}


def _true_ids(
    path: str | Path, truth: Mapping[str, Any], ground_truth: str | Path
) -> dict[Any, Any] | None:
    """The ids of the ground truth for those of the detections, if files say how images are called.

    Detections themselves do not: ``pading predict`` writes that beside them.
    """
    beside = [Path(path).with_name(name) for name in _BESIDE if Path(path).name == "instance.json"]
    listing = next((file for file in beside if file.is_file()), None)
    if listing is None:
        return None
    predicted = listed_names(read_json(listing), str(listing))
    names = listed_names(truth, str(ground_truth))
    if len(names) < len(truth["images"]):
        return None
    return true_ids(predicted, names, listing, ground_truth)


def _read_detections(
    path: str | Path,
    split: ClassSplit,
    images: Sequence[Mapping[str, Any]],
    ids: Mapping[Any, Any] | None,
) -> list[dict[str, Any]]:
    """Checked detections, each with a box and, where ids give it, the true id of its image."""
    sizes = {image["id"]: [image["height"], image["width"]] for image in images}
    entries = read_json(path)
    if not isinstance(entries, list):
        raise InputError(f"{path}: is no list; write detections in COCO's results format")
    detections = []
    for index, entry in enumerate(entries):
        where = f"{path}: detection {index} (counted from 0)"
        if ids is not None:
            image_id = field(entry, "image_id", (int, str), where)
            if image_id not in ids:
                raise InputError(f"{where}: image_id {image_id} is not among the images beside it")
            entry = {**entry, "image_id": ids[image_id]}
        _check_entry(entry, sizes, split, where)
        field(entry, "score", (int, float), where)
        mask = field(entry, "segmentation", dict, where)
        size = sizes[entry["image_id"]]
        check_rle(mask, size, where)
        measured = box_of(mask, size)
        box = entry.get("bbox", measured)
        if not is_box(box):
            raise InputError(
                f"{where}: the bbox {box!r:.80} is not [x, y, width, height] in pixels; "
                "correct it, or leave it out: it follows from the mask"
            )
        refuse_other_boxes(box, measured, where)
        detections.append({**entry, "segmentation": compressed(mask, size), "bbox": box})
    return detections


def _check_entry(entry: Any, images: Any, split: ClassSplit, where: str) -> None:
    image_id = field(entry, "image_id", (int, str), where)
    if image_id not in images:
        raise InputError(f"{where}: image_id {image_id} is not among the images")
    category_of(entry, split, where)


class InstanceEvaluator(TaskEvaluator):
    """Scores the model's ``instances`` and keeps them as ``output_dir/instance_predictions.json``.

    Args:
        dataset_name: registered, with ``split`` and ``instance_json``.
        output_dir: where the predictions are stored, in COCO's results format.
        setting: "gzsi" or "zsi".

    Raises:
        InputError: the instance annotations are missing or malformed.
    """

    def __init__(
        self, dataset_name: str, output_dir: str | Path, setting: Setting = "gzsi"
    ) -> None:
        super().__init__()
        metadata = MetadataCatalog.get(dataset_name)
        self._split: ClassSplit = metadata.split
        self._truth = _read_ground_truth(metadata.instance_json, metadata.split)
        self._json = Path(output_dir) / "instance_predictions.json"
        self._setting: Setting = setting

    def record(self, image: Mapping[str, Any], output: Mapping[str, Any]) -> list[dict[str, Any]]:
        instances = output["instances"].to("cpu")
        found = coco_detections(
            instances.pred_masks.numpy(),
            instances.pred_classes.tolist(),
            instances.scores.tolist(),
            self._split,
        )
        return [{"image_id": image["image_id"], **detection} for detection in found]

    def score(self, records: Mapping[Any, Any]) -> tuple[Scores, ...]:
        detections = [detection for part in records.values() for detection in part]
        write_json(self._json, detections)
        return _score_detections(self._truth, detections, self._split, self._setting)
