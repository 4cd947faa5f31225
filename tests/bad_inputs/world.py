"""A small world in which everything is right, for the rows of the tables to spoil one thing of."""

import json
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from pading.commands import train as train_net
from pading.vocabulary.class_vectors import ClassVectors
from tests import runs

SIZE = (40, 32)
"""Height and width of every image."""
CLASSES = (
    # id, name, isthing, unseen
    (3, "cup", True, False),
    (9, "fork", True, False),
    (5, "spoon", True, True),
    (20, "table", False, False),
    (21, "floor", False, True),
)
_SEEN = (3, 9, 20)
# Which results the model gives for a data set of each task.
_TASKS = {
    task: [
        part
        for other in ("panoptic", "instance", "semantic")
        for part in (f"MODEL.INFERENCE.{other.upper()}_ON", str(other == task))
    ]
    for task in ("panoptic", "instance", "semantic")
}


class World:
    """Data sets of every task, a class split, class vectors and a configuration in one folder.

    images/{0,1}.jpg for training and 2.jpg for validation; labels/ holds their panoptic PNGs, maps/
    their label maps; panoptic.json and instances.json describe the first two, val.json the last.
    """

    def __init__(self, root: Path, rng: np.random.Generator) -> None:
        self.root = root
        self.output = root / "output"
        for folder in ("images", "labels", "maps"):
            (root / folder).mkdir(parents=True)
        self.write_json("split.json", split())
        vectors = rng.standard_normal((len(CLASSES), 16)).astype(np.float32)
        names = tuple(name for _, name, _, _ in CLASSES)
        ClassVectors(names, vectors, "drawn").save(root / "vectors.npz")
        # Enough of a segmenter to begin with; what uses it makes one.
        torch.save({"model": {"sem_seg_head.nothing": torch.zeros(1)}}, root / "segmenter.pth")
        images, panoptic, instances = [], [], []
        for number in range(3):
            pixels = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"images/{number}.jpg")
            categories = np.full(SIZE, 20, dtype=np.uint8)
            categories[:20] = _SEEN[number % 2]
            colours = np.zeros((*SIZE, 3), dtype=np.uint8)
            colours[..., 0] = categories
            Image.fromarray(colours).save(root / f"labels/{number}.png")
            if number < 2:
                Image.fromarray(categories).save(root / f"maps/{number}.png")
            images.append(
                {"id": number, "file_name": f"{number}.jpg", "height": SIZE[0], "width": SIZE[1]}
            )
            segments = [
                {"id": c, "category_id": c, "iscrowd": 0, "area": SIZE[1] * 20}
                for c in (_SEEN[number % 2], 20)
            ]
            panoptic.append(
                {"image_id": number, "file_name": f"{number}.png", "segments_info": segments}
            )
            instances.append(
                {
                    "id": number + 1,
                    "image_id": number,
                    "category_id": _SEEN[number % 2],
                    "iscrowd": 0,
                    "area": SIZE[1] * 20,
                    "bbox": [0, 0, SIZE[1], 20],
                    "segmentation": rle(categories != 20),
                }
            )
        names_by_id = [{"id": c[0], "name": c[1]} for c in CLASSES]
        for name, annotations in (("panoptic", panoptic), ("instances", instances)):
            for subset, chosen in (("", slice(2)), ("_val", slice(2, 3))):
                self.write_json(
                    f"{name}{subset}.json",
                    {
                        "images": images[chosen],
                        "annotations": annotations[chosen],
                        "categories": names_by_id,
                    },
                )
        self.write_yaml("data.yaml", data_sets())

    def path(self, name: str) -> Path:
        """Of a file of this world."""
        return self.root / name

    def write_json(self, name: str, content: Any) -> None:
        """Write a file anew."""
        self.path(name).write_text(json.dumps(content))

    def write_yaml(self, name: str, content: Any) -> None:
        """Write a file anew."""
        self.path(name).write_text(yaml.safe_dump(content))

    def edit(self, name: str, change: Callable[[Any], object]) -> None:
        """Apply ``change`` to the content of a JSON or YAML file."""
        if name.endswith(".json"):
            content = json.loads(self.path(name).read_text())
            change(content)
            self.write_json(name, content)
        else:
            content = yaml.safe_load(self.path(name).read_text())
            change(content)
            self.write_yaml(name, content)

    def cut(self, name: str, share: float = 0.5) -> None:
        """Leave only the beginning of a file."""
        whole = self.path(name).read_bytes()
        self.path(name).write_bytes(whole[: int(len(whole) * share)])

    def train(self, *more: object, task: str = "panoptic", stage: str = "pretrain") -> None:
        """Run the training entry point on this world; options come before KEY VALUE pairs."""
        settings = (
            *("DATASETS.FILES", f"('{self.path('data.yaml')}',)"),
            *("DATASETS.TRAIN", f"('{task}_train',)", "DATASETS.TEST", f"('{task}_val',)"),
            *("MODEL.CLASS_VECTORS", self.path("vectors.npz")),
            *(("MODEL.WEIGHTS", self.path("segmenter.pth")) if stage == "PADing" else ()),
            *("SOLVER.MAX_ITER", 1, *_TASKS[task]),
        )
        options = list(takewhile(lambda word: str(word).startswith("--"), more))
        pairs = more[len(options) :]
        command = runs.arguments(stage, self.output, *settings, *pairs)
        runs.run(train_net.main, *options, *command)


def split() -> dict[str, Any]:
    """The class split's file."""
    keys = ("id", "name", "isthing", "unseen")
    return {"name": "kitchen", "classes": [dict(zip(keys, row, strict=True)) for row in CLASSES]}


def data_sets() -> list[dict[str, Any]]:
    """The file that DATASETS.FILES names."""
    common = {"split": "split.json", "images": "images"}
    files: dict[str, list[dict[str, Any]]] = {
        "panoptic": [
            {"annotations": "panoptic.json", "labels": "labels"},
            {"annotations": "panoptic_val.json", "labels": "labels"},
        ],
        "instance": [{"annotations": "instances.json"}, {"annotations": "instances_val.json"}],
        "semantic": [{"labels": "maps"}, {"labels": "maps"}],
    }
    return [
        {"name": f"{task}_{subset}", "task": task, "seen_only": subset == "train", **common, **row}
        for task, rows in files.items()
        for subset, row in zip(("train", "val"), rows, strict=True)
    ]


def rle(mask: np.ndarray) -> dict[str, Any]:
    """COCO's compressed run-length code."""
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": code["size"], "counts": code["counts"].decode()}
