"""Miniature data sets in COCO's formats, drawn anew for every test."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pading.data.spec import DatasetSpec
from pading.vocabulary.splits import ClassSplit, load_split


@dataclass
class MiniaturePanoptic:
    """Images of vertical stripes, one segment each, painted in the segment's colour."""

    root: Path
    split: ClassSplit
    content: dict[str, Any]
    spec: DatasetSpec

    def rewrite(self, change: Any) -> None:
        """Apply ``change`` to a copy of the annotations and write that."""
        content = copy.deepcopy(self.content)
        change(content)
        Path(self.spec.annotations).write_text(json.dumps(content))


@pytest.fixture
def make_panoptic(tmp_path: Path, rng: torch.Generator, split_file: Path) -> Any:
    """Give ``make(labels, name)``, which writes a data set: one image per list of class ids."""

    def make(labels: Sequence[Sequence[int]], name: str = "mini") -> MiniaturePanoptic:
        root = tmp_path / name
        (root / "images").mkdir(parents=True)
        (root / "labels").mkdir()
        images, annotations = [], []
        for number, categories in enumerate(labels):
            height, width = (int(v) for v in torch.randint(24, 40, (2,), generator=rng))
            low = torch.randperm(255, generator=rng)[: len(categories)] + 1
            ids = low + 256 * torch.randint(2**16, low.shape, generator=rng)
            stripes = np.array_split(np.arange(width), max(len(categories), 1))
            colours = np.zeros((height, width, 3), dtype=np.uint8)
            for segment, columns in zip(ids.tolist(), stripes, strict=False):
                colours[:, columns] = [segment % 256, segment // 256 % 256, segment // 65536]
            Image.fromarray(colours).save(root / "images" / f"{number}.png")
            Image.fromarray(colours).save(root / "labels" / f"{number}.png")
            images.append(
                {"id": number, "file_name": f"{number}.png", "height": height, "width": width}
            )
            annotations.append(
                {
                    "image_id": number,
                    "file_name": f"{number}.png",
                    "segments_info": [
                        {"id": segment, "category_id": category, "iscrowd": 0}
                        for segment, category in zip(ids.tolist(), categories, strict=True)
                    ],
                }
            )
        split = load_split(split_file)
        categories = [
            {"id": c.id, "name": c.name, "isthing": int(c.isthing)} for c in split.classes
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        spec = DatasetSpec(name, "panoptic", str(split_file), "images", "panoptic.json", "labels")
        mini = MiniaturePanoptic(root, split, content, spec.under(root))
        mini.rewrite(lambda content: None)
        return mini

    return make
