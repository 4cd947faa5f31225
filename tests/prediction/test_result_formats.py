"""Results in other tools' forms, read back to the masks that they were made of."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from pading.data.coco_formats import coco_detections
from pading.data.formats.recognise import read_annotations
from pading.errors import InputError
from pading.prediction.result import PanopticResult, Prediction
from pading.vocabulary.splits import ClassInfo, ClassSplit

SPLIT = ClassSplit(
    "three",
    tuple(ClassInfo(i, n, True, i == 9) for i, n in ((4, "cup"), (9, "fork"), (2, "table"))),
)
SIZE = (40, 60)


def masks() -> list[np.ndarray]:
    found = [np.zeros(SIZE, dtype=bool) for _ in range(3)]
    found[0][5:20, 10:30] = True
    found[1][22:38, 3:25] = True
    found[2][2:10, 40:58] = True
    return found


@pytest.fixture
def instances() -> Prediction:
    detections = coco_detections(masks(), [0, 1, 2], [0.9, 0.8, 0.1], SPLIT)
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    return Prediction(None, detections, None, split=SPLIT, image=image, name="photo")


def test_yolo_is_read_back(instances: Prediction, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "images" / "photo.png")
    (tmp_path / "labels" / "photo.txt").write_text(instances.to_yolo())
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cup, fork, table]\n")
    found = read_annotations(tmp_path / "data.yaml")["train"]
    assert not found.faults
    assert [a["category_id"] for a in found.content["annotations"]] == [1, 2], "0.1 is too little"
    for annotation, mask in zip(found.content["annotations"], masks(), strict=False):
        code = coco_mask.merge(coco_mask.frPyObjects(annotation["segmentation"], *SIZE))
        again = coco_mask.decode(code).astype(bool)
        assert (again & mask).sum() / (again | mask).sum() > 0.85  # outlines run through pixels


def test_datumaro_is_read_back(instances: Prediction, tmp_path: Path) -> None:
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "photo.png")
    labels = [{"name": name} for name in SPLIT.names]
    content = {
        "categories": {"label": {"labels": labels}},
        "items": [instances.to_datumaro(min_score=0)],
    }
    (tmp_path / "default.json").write_text(json.dumps(content))
    found = read_annotations(tmp_path / "default.json", tmp_path)["train"]
    assert not found.faults
    for annotation, mask in zip(found.content["annotations"], masks(), strict=True):
        assert np.array_equal(coco_mask.decode(annotation["segmentation"]).astype(bool), mask)


def test_label_maps(instances: Prediction) -> None:
    values = instances.to_label_map()
    assert values.dtype == np.uint8
    assert set(np.unique(values)) == {4, 9, 255}
    assert np.array_equal(values == 9, masks()[1])
    ids = np.where(masks()[2], 7, 0).astype(np.int32)
    panoptic = PanopticResult(ids, [{"id": 7, "category_id": 2, "score": 0.5}])
    other = Prediction(panoptic, None, None, split=SPLIT, image=instances.image)
    assert np.array_equal(other.to_label_map() == 2, masks()[2])


def test_supervision(instances: Prediction) -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    given = instances.to_supervision()
    np.testing.assert_array_equal(given.xyxy, [[10, 5, 30, 20], [3, 22, 25, 38]])
    np.testing.assert_array_equal(given.mask, masks()[:2])
    assert given.area.tolist() == [mask.sum() for mask in masks()[:2]]
    assert given.class_id.tolist() == [4, 9]
    assert given["class_name"].tolist() == ["cup", "fork"]
    assert len(given[given.confidence > 0.85]) == 1
    picture = supervision.MaskAnnotator(opacity=1).annotate(np.zeros((*SIZE, 3), np.uint8), given)
    assert np.array_equal(picture.any(-1), masks()[0] | masks()[1])
    assert instances.to_supervision(min_score=0.95).is_empty()


def test_fiftyone(instances: Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its constructors are given (the package clashes with ours); the remedy without it."""
    import sys
    from types import SimpleNamespace

    fake = SimpleNamespace(Detections=lambda **fields: fields, Detection=lambda **fields: fields)
    monkeypatch.setitem(sys.modules, "fiftyone", fake)
    [first, _] = instances.to_fiftyone()["detections"]
    assert first["label"] == "cup" and first["mask"].all()
    assert first["bounding_box"] == [10 / 60, 5 / 40, 20 / 60, 15 / 40]
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(InputError, match="pip install fiftyone"):
        instances.to_fiftyone()
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match=r"pip install 'pading\[supervision\]'"):
        instances.to_supervision()
