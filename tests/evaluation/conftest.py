"""A small split and a small panoptic data set with a prediction, on disk."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pading.vocabulary.splits import ClassInfo, ClassSplit
from tests.evaluation.panoptic_set import PanopticSet, registered


@pytest.fixture
def split() -> ClassSplit:
    """Two seen things, one unseen thing, a seen and an unseen stuff class; ids with gaps."""
    return ClassSplit(
        "small",
        (
            ClassInfo(3, "cat", isthing=True, unseen=False),
            ClassInfo(5, "dog", isthing=True, unseen=False),
            ClassInfo(9, "fox", isthing=True, unseen=True),
            ClassInfo(20, "sky", isthing=False, unseen=False),
            ClassInfo(21, "sea", isthing=False, unseen=True),
        ),
    )


def _random_maps(generator: np.random.Generator, count: int) -> dict[int, np.ndarray]:
    """Quadrants with jittered borders; segments 1 to 4, and a corner without label."""
    maps = {}
    for image_id in range(1, count + 1):
        row, column = generator.integers(18, 23, 2)
        ids = np.ones((40, 40), dtype=np.int64)
        ids[row:] += 1
        ids[:, column:] += 2
        ids[:4, :4] = 0
        maps[image_id] = ids
    return maps


@pytest.fixture
def ground_truth(tmp_path: Path, split: ClassSplit, seed: int) -> PanopticSet:
    """Six random images of four segments; the last segment of the last image is a crowd."""
    generator = np.random.default_rng(seed)
    maps = _random_maps(generator, 6)
    segments = {}
    for image_id, ids in maps.items():
        categories = generator.choice([info.id for info in split.classes], 4)
        segments[image_id] = [
            {"id": i + 1, "category_id": int(c), "iscrowd": 0, "area": int((ids == i + 1).sum())}
            for i, c in enumerate(categories)
        ]
    segments[6][3]["iscrowd"] = 1
    result = PanopticSet(tmp_path / "ground_truth")
    result.write(maps, segments)
    return result


@pytest.fixture
def prediction(tmp_path: Path, ground_truth: PanopticSet, seed: int) -> PanopticSet:
    """Other borders, and every third segment of another class."""
    generator = np.random.default_rng(seed + 1)
    truth = {a["image_id"]: a["segments_info"] for a in ground_truth.load()["annotations"]}
    segments = {
        image_id: [
            {"id": s["id"], "category_id": 9 if generator.random() < 0.3 else s["category_id"]}
            for s in entries
        ]
        for image_id, entries in truth.items()
    }
    result = PanopticSet(tmp_path / "prediction")
    result.write(_random_maps(generator, 6), segments)
    return result


@pytest.fixture
def dataset(ground_truth: PanopticSet, split: ClassSplit) -> Iterator[str]:
    """The name under which ``ground_truth`` is registered."""
    with registered(ground_truth, split) as name:
        yield name
