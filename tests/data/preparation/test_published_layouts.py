"""Label maps and lists of published data sets, from their authors' layouts to the rows' entries."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from pading.data.dataset_rows import DATASETS
from pading.data.ground_truth import load_semantic
from pading.data.masks import IGNORE_LABEL, semantic_labels
from pading.data.preparation import (
    ade20k,
    cityscapes,
    coco_20i,
    fss_1000,
    pascal_context,
    pascal_voc,
)
from pading.errors import InputError
from pading.vocabulary.folds import load_fold
from pading.vocabulary.splits import load_split

SIZE = 12, 10
_ROWS = {spec.name: spec for spec in DATASETS}


def _photograph(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1], (90, 120, 60)).save(path)


def _rows(values: list[int], dtype: type = np.uint8) -> np.ndarray:
    """A map whose left part has the first value, and so on."""
    return np.resize(np.array(values, dtype=dtype), SIZE)


def _map(path: Path, values: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_rows(values)).save(path)


def _lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _entries(root: Path, name: str) -> list[dict]:
    spec = _ROWS[name].under(str(root))
    return load_semantic(spec, load_split(spec.split))


def _names(root: Path, name: str) -> list[set[str]]:
    """What the maps of a data set show, image by image; "" where ignored."""
    split = load_split(_ROWS[name].split)
    found = []
    for entry in _entries(root, name):
        labels = np.unique(semantic_labels({**entry, "height": SIZE[0], "width": SIZE[1]})).tolist()
        found.append({"" if v == IGNORE_LABEL else split.names[v] for v in labels})
    return found


def test_ade20k(tmp_path: Path) -> None:
    root = tmp_path / "ADEChallengeData2016"
    for subset in ("training", "validation"):
        _photograph(root / "images" / subset / "a.jpg")
        _map(root / "annotations" / subset / "a.png", [0, 1, 150])
    ade20k.main([str(root), "--workers", "1"])
    names = load_split("ade20k_150").names
    assert _names(tmp_path, "ade20k_150_val") == [{"", names[0], names[149]}]
    _map(root / "annotations" / "validation" / "a.png", [0, 1, 151])
    with pytest.raises(InputError, match=r"validation/a\.png.*151"):
        ade20k.main([str(root), "--workers", "1"])


def test_cityscapes(tmp_path: Path) -> None:
    root = tmp_path / "cityscapes"
    for subset in ("train", "val"):
        _photograph(root / "leftImg8bit" / subset / "ulm" / "ulm_1_leftImg8bit.png")
        _map(root / "gtFine" / subset / "ulm" / "ulm_1_gtFine_labelIds.png", [0, 7, 26, 33])
    cityscapes.main([str(root), "--workers", "1"])
    assert _names(tmp_path, "cityscapes_19_val") == [{"", "road", "car", "bicycle"}]
    (root / "gtFine" / "val" / "ulm" / "ulm_1_gtFine_labelIds.png").unlink()
    with pytest.raises(InputError, match=r"ulm_1_gtFine_labelIds\.png: there is no such label map"):
        cityscapes.main([str(root), "--workers", "1"])


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """VOC with two images of its own in training, one in validation, and two more of SBD."""
    root, sbd = tmp_path / "VOC2012", tmp_path / "benchmark_RELEASE" / "dataset"
    for stem in ("t1", "t2", "v1", "s1"):
        _photograph(root / "JPEGImages" / f"{stem}.jpg")
    _map(root / "SegmentationClass" / "t1.png", [0, 1, 255])
    _map(root / "SegmentationClass" / "t2.png", [0, 20])
    _map(root / "SegmentationClass" / "v1.png", [0, 2, 7])
    lists = root / "ImageSets" / "Segmentation"
    _lines(lists / "train.txt", ["t1", "t2"])
    _lines(lists / "val.txt", ["v1"])
    _lines(sbd / "train.txt", ["t1", "s1"])
    _lines(sbd / "val.txt", ["v1"])
    (sbd / "cls").mkdir()
    for stem, values in (("t1", [0, 9]), ("s1", [0, 6, 15]), ("v1", [3])):
        savemat(sbd / "cls" / f"{stem}.mat", {"GTcls": {"Segmentation": _rows(values)}})
    return tmp_path


def test_pascal_voc(voc: Path) -> None:
    pascal_voc.main([str(voc / "VOC2012"), "--workers", "1", "--queries", "5"])
    # VOC's own maps come first; what is in its validation set is never trained on.
    assert _names(voc, "pascal_voc_15_5_train_aug_all") == [
        {"", "aeroplane"},
        {"", "tvmonitor"},
        {"", "bus", "person"},
    ]
    # Fold 0 tests the first five classes: bicycle is in v1, car is of fold 1.
    tested = _entries(voc, "pascal_5i_0_val")
    split = load_split("pascal_5i_0")
    asked = {split.names[label]: n for label, n in tested[0]["asked"].items()}
    assert asked == {"bicycle": 5}
    trained = _entries(voc, "pascal_5i_0_train")
    assert {split.names[label] for entry in trained for label in entry["asked"]} == {
        "tvmonitor",
        "bus",
        "person",
    }


def test_pascal_voc_without_sbd(voc: Path) -> None:
    with pytest.raises(InputError, match="unpack benchmark.tgz"):
        pascal_voc.main([str(voc / "VOC2012"), "--sbd", str(voc / "elsewhere")])


def test_pascal_5i_pairs_as_published(voc: Path) -> None:
    lists = voc / "splits"
    trained = ["t1__01", "s1__06", "s1__15", "t2__20"]
    tested = ["v1__02", "v1__07", "v1__11", "v1__16"]
    for fold in range(4):
        _lines(lists / "trn" / f"fold{fold}.txt", trained[fold : fold + 1])
        _lines(lists / "val" / f"fold{fold}.txt", tested[fold : fold + 1])
    arguments = [str(voc / "VOC2012"), "--workers", "1", "--queries", "3"]
    arguments += ["--pascal-5i-lists", str(lists)]
    pascal_voc.main(arguments)
    written = voc / "VOC2012" / "ImageSets" / "PASCAL-5i"
    assert (written / "val_1.txt").read_text().split() == ["v1__07"] * 3
    assert (written / "train_1.txt").read_text().split() == ["t1__01", "s1__15", "t2__20"]
    _lines(lists / "val" / "fold2.txt", ["v1__07"])
    with pytest.raises(InputError, match=r"val/fold2\.txt: asks for 'car', which is not of fold 2"):
        pascal_voc.main(arguments)
    _lines(lists / "trn" / "fold1.txt", ["t1__01"])
    with pytest.raises(InputError, match=r"trn/fold1\.txt: line 1: 'aeroplane' is an unseen class"):
        pascal_voc.main(arguments)


def test_pascal_context(tmp_path: Path) -> None:
    root = tmp_path / "VOC2010"
    names = load_split("pascal_context_59").names
    for stem, subset in (("a", "train"), ("b", "val")):
        _photograph(root / "JPEGImages" / f"{stem}.jpg")
        _lines(root / "ImageSets" / "Main" / f"{subset}.txt", [stem])
        (root / "trainval").mkdir(exist_ok=True)
        values = _rows([400, 7, 2], np.uint16)
        savemat(root / "trainval" / f"{stem}.mat", {"LabelMap": values})
    numbers = [f"{number}: {name}" for number, name in enumerate(names, 2)] + ["400: accordion"]
    _lines(root / "labels.txt", numbers)
    pascal_context.main([str(root), "--workers", "1"])
    assert _names(tmp_path, "pascal_context_59_val") == [{"", names[0], names[5]}]
    _lines(root / "labels.txt", numbers[1:])
    with pytest.raises(InputError, match=rf"labels\.txt: no number of the class '{names[0]}'"):
        pascal_context.main([str(root), "--workers", "1"])


def test_coco_20i(tmp_path: Path) -> None:
    root = tmp_path / "coco"
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, 91) if i % 9]
    ids = [category["id"] for category in categories]
    square, dot = [0, 0, 8, 0, 8, 8, 0, 8], [1, 1, 4, 1, 4, 4, 1, 4]
    for subset in ("train", "val"):
        _photograph(root / f"{subset}2014" / "a.jpg")
        annotations = [
            {"id": n, "image_id": 1, "category_id": ids[k], "segmentation": [polygon]}
            | {"iscrowd": 0, "area": 1.0, "bbox": [0, 0, 8, 8]}
            for n, (k, polygon) in enumerate(((1, dot), (0, square)), 1)
        ]
        content = {
            "images": [{"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}],
            "annotations": annotations,
            "categories": categories,
        }
        path = root / "annotations" / f"instances_{subset}2014.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    coco_20i.main([str(root), "--workers", "1", "--queries", "7"])
    made = np.asarray(Image.open(root / "coco_20i" / "val2014" / "a.png"))
    assert made[2, 2] == 2  # the smaller is in front
    assert made[6, 6] == 1
    assert made[11, 9] == 0
    # Class k is of fold k % 4: the first of fold 0, the second of fold 1.
    folds = [_entries(tmp_path, f"coco_20i_{fold}_val") for fold in (0, 1)]
    splits = [load_split(f"coco_20i_{fold}") for fold in (0, 1)]
    for entries, split, class_id in zip(folds, splits, (1, 2), strict=True):
        assert {split.classes[k].id: n for k, n in entries[0]["asked"].items()} == {class_id: 7}


def test_fss_1000(tmp_path: Path) -> None:
    root = tmp_path / "FSS-1000"
    classes = [*load_fold("fss_1000", "val").train, *load_fold("fss_1000", "val").test]
    classes += load_fold("fss_1000", "test").test
    for info in classes:
        folder = root / "fewshot_data" / info.published
        _photograph(folder / "1.jpg")
        _map(folder / "1.png", [0, 255])
    fss_1000.main([str(root), "--workers", "1"])
    tested = _names(tmp_path, "fss_1000_test")
    assert len(tested) == 240
    assert len(_entries(tmp_path, "fss_1000_train")) == 520
    assert all(len(names) == 2 and "others" in names for names in tested)
    (root / "fewshot_data" / classes[0].published / "1.png").unlink()
    with pytest.raises(InputError, match="there is no such mask"):
        fss_1000.main([str(root), "--workers", "1"])
