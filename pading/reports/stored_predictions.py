"""The predictions that an evaluation has kept, by image, in the form that is drawn."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pading.data.images import read_label_map, read_panoptic_png, segment_ids
from pading.files import read_json
from pading.visualize import SegmentMap, segments_of_detections, segments_of_labels
from pading.vocabulary.splits import ClassSplit

Entry = dict[str, Any]
Read = Callable[[Entry], SegmentMap]

MIN_SCORE = 0.3
"""Instances that score less are not looked at: there are a hundred of every image."""


def stored_predictions(folder: Path, split: ClassSplit) -> dict[str, Read]:
    """Functions from a data set's dictionary to the segments that were predicted, by result.

    Args:
        folder: of an evaluation.
        split: the classes.

    Returns:
        those of "panoptic", "semantic" and "instance" that the folder has predictions of. An image
        without a prediction has no segment.
    """
    found: dict[str, Read] = {}
    for name, reader in (("panoptic", _panoptic), ("semantic", _semantic), ("instance", _instance)):
        if (folder / f"{name}_predictions.json").is_file():
            found[name] = reader(folder / f"{name}_predictions.json", split)
    return found


def _panoptic(path: Path, split: ClassSplit) -> Read:
    by_image = {a["image_id"]: a for a in read_json(path)["annotations"]}

    def read(entry: Entry) -> SegmentMap:
        annotation = by_image[entry["image_id"]]
        ids = segment_ids(read_panoptic_png(str(path.with_suffix("") / annotation["file_name"])))
        segments = [
            {**s, "category_id": split.contiguous_id[s["category_id"]]}
            for s in annotation["segments_info"]
        ]
        return SegmentMap(ids, segments)

    return read


def _semantic(path: Path, split: ClassSplit) -> Read:
    by_image = {a["image_id"]: a["file_name"] for a in read_json(path)["annotations"]}

    def read(entry: Entry) -> SegmentMap:
        return segments_of_labels(
            read_label_map(str(path.with_suffix("") / by_image[entry["image_id"]]))
        )

    return read


def _instance(path: Path, split: ClassSplit) -> Read:
    by_image: dict[Any, list[Entry]] = defaultdict(list)
    for detection in read_json(path):
        by_image[detection["image_id"]].append(detection)

    def read(entry: Entry) -> SegmentMap:
        size = (entry["height"], entry["width"])
        return segments_of_detections(by_image[entry["image_id"]], split, size, MIN_SCORE)

    return read
