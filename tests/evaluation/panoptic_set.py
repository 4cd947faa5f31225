"""One side of a panoptic data set on disk, and its registration for the time of a test."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from panopticapi.utils import id2rgb, rgb2id
from PIL import Image

from pading.vocabulary.splits import ClassSplit


@dataclass
class PanopticSet:
    """One side of a panoptic data set: ``folder``.json and the PNG files in ``folder``."""

    folder: Path

    @property
    def json(self) -> Path:
        return self.folder.with_suffix(".json")

    def write(self, maps: dict[int, np.ndarray], segments: dict[int, list[dict[str, Any]]]) -> None:
        self.folder.mkdir(parents=True)
        for image_id, ids in maps.items():
            Image.fromarray(id2rgb(ids)).save(self.folder / f"{image_id}.png")
        annotations = [
            {"image_id": i, "file_name": f"{i}.png", "segments_info": segments[i]} for i in maps
        ]
        self.save({"annotations": annotations})

    def load(self) -> dict[str, Any]:
        return json.loads(self.json.read_text())

    def save(self, content: dict[str, Any]) -> None:
        self.json.write_text(json.dumps(content))


def outputs_of(prediction: PanopticSet, split: ClassSplit) -> tuple[list[dict], list[dict]]:
    """A stored prediction as the model's inputs and outputs."""
    inputs, outputs = [], []
    for annotation in prediction.load()["annotations"]:
        png = Image.open(prediction.folder / annotation["file_name"])
        segments = [
            {**s, "category_id": split.contiguous_id[s["category_id"]]}
            for s in annotation["segments_info"]
        ]
        inputs.append({"image_id": annotation["image_id"]})
        ids = torch.from_numpy(rgb2id(np.array(png)).astype(np.int32))
        outputs.append({"panoptic_seg": (ids, segments)})
    return inputs, outputs


@contextmanager
def registered(ground_truth: PanopticSet, split: ClassSplit) -> Iterator[str]:
    """The name under which the data set is known inside the block."""
    name = "test_evaluation"
    DatasetCatalog.register(name, list)
    MetadataCatalog.get(name).set(
        split=split,
        task="panoptic",
        panoptic_json=str(ground_truth.json),
        panoptic_root=str(ground_truth.folder),
    )
    try:
        yield name
    finally:
        MetadataCatalog.remove(name)
        DatasetCatalog.remove(name)
