"""Training from labels, label maps of 16 bits and image lists."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from PIL import Image

from pading.config import add_pading_config
from pading.data.catalogue import DATASETS, metadata_of, register
from pading.data.ground_truth import load_panoptic, load_semantic
from pading.data.mappers import SegmentationMapper
from pading.data.masks import IGNORE_LABEL, narrowed, semantic_labels, widened
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.vocabulary.splits import load_split


@pytest.fixture
def cfg() -> CfgNode:
    cfg = get_cfg()
    add_pading_config(cfg)
    cfg.INPUT.AUGMENTATION = "none"
    return cfg


@pytest.fixture
def many(tmp_path: Path) -> DatasetSpec:
    """Three images of a data set of 400 classes, whose maps hold label + 1."""
    rows = [{"id": i, "name": f"c{i}", "isthing": False, "unseen": i == 255} for i in range(400)]
    (tmp_path / "many.json").write_text(json.dumps({"name": "many", "classes": rows}))
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for stem in "abc":
        Image.new("RGB", (4, 2)).save(tmp_path / "images" / f"{stem}.jpg")
        values = np.array([[1, 255, 256, 400], [0, 65535, 2, 3]], dtype=np.uint16)
        Image.fromarray(values).save(tmp_path / "labels" / f"{stem}.png")
    spec = DatasetSpec("many", "semantic", str(tmp_path / "many.json"), "images", labels="labels")
    return replace(spec, label_offset=1, ignored_labels=(0,), seen_only=True).under(tmp_path)


def test_labels_of_16_bits(many: DatasetSpec, cfg: CfgNode) -> None:
    entry = load_semantic(many, load_split(many.split))[0]
    result = SegmentationMapper(cfg, True, learns_from="labels")(entry)
    void = IGNORE_LABEL
    assert result["sem_seg"].dtype == torch.int64
    assert result["sem_seg"].tolist() == [[0, 254, void, 399], [void, void, 1, 2]]
    assert "instances" not in result
    masks = SegmentationMapper(cfg, True)(entry)["instances"]
    assert masks.gt_classes.tolist() == [0, 1, 2, 254, 399]
    assert "sem_seg" not in SegmentationMapper(cfg, False, learns_from="labels")(entry)


@pytest.mark.parametrize(("num_classes", "dtype"), [(254, np.uint8), (255, np.uint16)])
def test_files_are_as_wide_as_classes_need(num_classes: int, dtype: Any) -> None:
    labels = np.array([[0, 253, IGNORE_LABEL]], dtype=np.uint16)
    stored = narrowed(labels, num_classes)
    assert stored.dtype == dtype
    assert np.array_equal(widened(stored), labels)


def test_labels_of_panoptic_ground_truth(make_panoptic: Any, cfg: CfgNode) -> None:
    mini = make_panoptic([[20, 3, 20]])
    entry = load_panoptic(mini.spec, mini.split)[0]
    result = SegmentationMapper(cfg, True, learns_from="labels")(entry)
    assert np.array_equal(result["sem_seg"].numpy(), semantic_labels(entry))
    with pytest.raises(InputError, match=r"learns from label maps, and instance annotations"):
        SegmentationMapper(cfg, True, learns_from="labels")({**entry, "task": "instance"})


def test_list_restricts_the_images(many: DatasetSpec, tmp_path: Path) -> None:
    path, split = tmp_path / "train.txt", load_split(many.split)
    listed = replace(many, list=str(path))
    path.write_text("c\n\na\n")
    assert [entry["image_id"] for entry in load_semantic(listed, split)] == ["c", "a"]
    for text, message in (
        ("a\nz\n", r"train.txt: names the image z, but there is no label map z\.png"),
        ("a\na\n", r"line 2: the image a is on line 1 already"),
        ("a 1\n", r"line 1, 'a 1': an image list has one name a line"),
        ("\n", "names no image"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            load_semantic(listed, split)
    with pytest.raises(InputError, match="cannot read this image list"):
        load_semantic(replace(many, list="nowhere.txt"), split)


def test_data_sets_of_detectron2_are_not_ours() -> None:
    with pytest.raises(InputError, match="there is no data set 'voc_2007_val'"):
        metadata_of("voc_2007_val")


@pytest.mark.parametrize(("key", "value"), [("list", "a.txt"), ("label_offset", 1)])
def test_keys_of_label_maps_alone(make_panoptic: Any, key: str, value: Any) -> None:
    mini = make_panoptic([[3]])
    with pytest.raises(InputError, match=f"'mini': '{key}' is for semantic data sets"):
        register(replace(mini.spec, **{key: value}))


def test_voc_as_it_comes(tmp_path: Path) -> None:
    root = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for stem in ("2007_1", "2007_2"):
        Image.new("RGB", (5, 1)).save(root / "JPEGImages" / f"{stem}.jpg")
        labels = Image.fromarray(np.array([[0, 1, 15, 16, 255]], dtype=np.uint8))
        labels.convert("P").save(root / "SegmentationClass" / f"{stem}.png")
    for subset, stem in (("train", "2007_1"), ("val", "2007_2")):
        (root / f"ImageSets/Segmentation/{subset}.txt").write_text(f"{stem}\n")
    void = IGNORE_LABEL
    rows = {spec.name: spec.under(tmp_path) for spec in DATASETS}
    for subset, last in (("train", void), ("val", 15)):
        spec = rows[f"pascal_voc_15_5_{subset}"]
        (entry,) = load_semantic(spec, load_split(spec.split))
        labels = semantic_labels({**entry, "height": 1, "width": 5})
        assert labels.tolist() == [[void, 0, 14, last, void]]


def test_folders_in_the_folder(many: DatasetSpec) -> None:
    """Two maps of one name, in two folders, are of two images."""
    for folder in ("images", "labels"):
        for sub in ("x", "y"):
            (Path(getattr(many, folder)) / sub).mkdir()
    for sub, value in (("x", 7), ("y", 9)):
        Image.new("RGB", (4, 2)).save(Path(many.images, sub, "a.jpg"))
        Image.new("L", (4, 2), value).save(Path(many.labels, sub, "a.png"))
    entries = load_semantic(many, load_split(many.split))
    assert [entry["image_id"] for entry in entries] == ["a", "b", "c", "x/a", "y/a"]
    labels = [semantic_labels({**e, "height": 2, "width": 4}) for e in entries[3:]]
    assert [np.unique(found).tolist() for found in labels] == [[6], [8]]
    assert Path(entries[4]["file_name"]) == Path(many.images, "y", "a.jpg")


def test_two_maps_of_an_image(many: DatasetSpec) -> None:
    Image.new("L", (4, 2)).save(Path(many.labels, "a.PNG"), "PNG")
    with pytest.raises(InputError, match=r"a.png: .*a.PNG is of the same image; remove one"):
        load_semantic(many, load_split(many.split))
