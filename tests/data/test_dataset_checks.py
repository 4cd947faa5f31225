from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pading.config import add_pading_config
from pading.data.catalogue import register
from pading.data.dataset_checks import check_datasets
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.vocabulary.splits import load_split


@pytest.fixture
def cfg(make_panoptic):
    """A configuration with a training and a validation set of one split."""
    cfg = get_cfg()
    add_pading_config(cfg)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("mini_train",), ("mini_val",)
    specs = {
        "mini_train": replace(make_panoptic([[3], [9, 20]], "mini_train").spec, seen_only=True),
        "mini_val": make_panoptic([[3, 5], [21], []], "mini_val").spec,
    }
    for spec in specs.values():
        register(spec)
    yield cfg
    for name in specs:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_good_data_sets(cfg):
    check_datasets(cfg, training=True)


@pytest.mark.parametrize("name", ["mini_train", "mini_val"])
@pytest.mark.parametrize("key", ["file_name", "pan_seg_file_name"])
def test_a_damaged_file_is_found_and_named(cfg, name, key):
    path = DatasetCatalog.get(name)[-1][key]
    with open(path, "r+b") as file:
        file.truncate(Path(path).stat().st_size // 2)
    with pytest.raises(InputError, match="cannot read this image") as error:
        check_datasets(cfg, training=True)
    assert path in str(error.value)


def test_training_needs_a_seen_only_data_set(cfg):
    cfg.DATASETS.TRAIN = ("mini_val",)
    with pytest.raises(InputError, match="DATASETS.TRAIN: 'mini_val' may hold unseen classes"):
        check_datasets(cfg, training=True)
    check_datasets(cfg, training=False)


def test_training_data_are_not_needed_for_evaluation(cfg):
    cfg.DATASETS.TRAIN = ("nowhere",)
    check_datasets(cfg, training=False)
    with pytest.raises(InputError, match="no data set 'nowhere'"):
        check_datasets(cfg, training=True)


def test_no_training_data(cfg):
    cfg.DATASETS.TRAIN = ()
    with pytest.raises(InputError, match="DATASETS.TRAIN is empty"):
        check_datasets(cfg, training=True)


def test_time_is_limited(cfg, monkeypatch, caplog):
    monkeypatch.setattr("pading.data.dataset_checks._CHUNK", 1)
    with caplog.at_level("INFO", logger="pading.data.dataset_checks"):
        check_datasets(cfg, training=True, seconds=0.0)
    assert "1 of 5 images" in caplog.text


def test_label_maps_of_ignored_pixels_alone(cfg, tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (5, 4)).save(tmp_path / "images" / "a.png")
    labels = np.full((4, 5), 255, dtype=np.uint8)
    Image.fromarray(labels).save(tmp_path / "labels" / "a.png")
    split = MetadataCatalog.get("mini_train").spec.split
    spec = DatasetSpec("void", "semantic", split, "images", labels="labels", seen_only=True)
    register(spec.under(tmp_path))
    cfg.DATASETS.TRAIN = ("void",)
    cfg.MODEL.INFERENCE.PANOPTIC_ON, cfg.MODEL.INFERENCE.SEMANTIC_ON = False, True
    with pytest.raises(InputError, match="'void' holds images without a segment or a labelled"):
        check_datasets(cfg, training=True)
    labels[0, 0] = load_split(split).classes[0].id
    Image.fromarray(labels).save(tmp_path / "labels" / "a.png")
    check_datasets(cfg, training=True)
