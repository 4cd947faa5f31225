"""What the page's viewer draws: an image, and for each model its segments by result."""

import base64
import io
import json
from collections.abc import Collection, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image

from pading.data.coco_formats import panoptic_png
from pading.prediction.result import Prediction
from pading.visualize import SegmentMap, class_colour, segments_of_detections, segments_of_labels

MIN_SCORE = 0.3
"""Instances that score less are not drawn; the COCO JSON has them all."""
_STATIC = files("pading.apps") / "static"
SCRIPT = (_STATIC / "viewer.js").read_text(encoding="utf-8")
STYLE = (_STATIC / "viewer.css").read_text(encoding="utf-8")


def viewer_value(
    sides: Sequence[tuple[str, Prediction]], added: Collection[str], with_image: bool
) -> str:
    """JSON for the viewer's script, which turns no part of it into markup.

    Args:
        sides: title and results of one model or two, of the same image.
        added: names of classes that the user added.
        with_image: whether to send the image, or to let the viewer keep the last one.
    """
    image = sides[0][1].image
    assert image is not None
    height, width = image.shape[:2]
    content = {
        "name": sides[0][1].name,
        "width": width,
        "height": height,
        "image": _jpeg(image) if with_image else None,
        "sides": [
            {"title": title, "coco": found.to_coco(), "results": _results(found, added)}
            for title, found in sides
        ],
    }
    return json.dumps(content)


def _results(found: Prediction, added: Collection[str]) -> dict[str, Any]:
    """Name of the result -> map of segments as a PNG of ids, and what each segment is."""
    split, image = found.split, found.image
    assert split is not None and image is not None
    maps: dict[str, SegmentMap] = {}
    if found.panoptic is not None:
        segments = [
            {**s, "category_id": split.contiguous_id[s["category_id"]]}
            for s in found.panoptic.segments
        ]
        maps["panoptic"] = SegmentMap(found.panoptic.ids, segments)
    if found.instance is not None:
        size = (image.shape[0], image.shape[1])
        maps["instance"] = segments_of_detections(found.instance, split, size, MIN_SCORE)
    if found.semantic is not None:
        table = np.zeros(max(split.contiguous_id) + 1, dtype=np.uint16)
        for category, label in split.contiguous_id.items():
            table[category] = label
        maps["semantic"] = segments_of_labels(table[found.semantic])
    results = {}
    for result, segment_map in maps.items():
        met: dict[int, int] = {}
        listed = []
        for segment in segment_map.segments:
            label = segment["category_id"]
            place = _inside(segment_map.ids, segment["id"])
            if place is None:
                continue
            met[label] = met.get(label, -1) + 1
            info = split.classes[label]
            listed.append(
                {
                    "id": int(segment["id"]),
                    "name": info.name,
                    "unseen": info.unseen,
                    "added": info.name in added,
                    "score": segment.get("score"),
                    "colour": class_colour(label, met[label]),
                    "class_colour": class_colour(label),
                    **place,
                }
            )
        png = base64.b64encode(panoptic_png(segment_map.ids)).decode()
        results[result] = {"map": f"data:image/png;base64,{png}", "segments": listed}
    return results


def _inside(ids: np.ndarray, segment: int) -> dict[str, float] | None:
    """A place in a segment for its label, and its share of the image; None if it has no pixel."""
    rows, columns = np.nonzero(ids == segment)
    if not len(rows):
        return None
    row = int(rows[len(rows) // 2])
    line = columns[rows == row]
    column = int(line[len(line) // 2])
    height, width = ids.shape
    return {"x": (column + 0.5) / width, "y": (row + 0.5) / height, "share": len(rows) / ids.size}


def _jpeg(image: np.ndarray) -> str:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
