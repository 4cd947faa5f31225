import json
from pathlib import Path

import pytest
import yaml
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog

from pading.config import add_pading_config
from pading.data.catalogue import (
    DATASETS,
    ROOT_VARIABLE,
    metadata_of,
    register,
    register_datasets,
    register_from_file,
    split_of,
)
from pading.errors import InputError
from pading.vocabulary.splits import load_split


@pytest.fixture(autouse=True)
def catalog():
    """Leave Detectron2's catalogs as they were."""
    before = set(DatasetCatalog.list())
    yield
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def _load(mini, **changes):
    register(mini.spec.__class__(**{**mini.spec.__dict__, **changes}))
    return DatasetCatalog.get(mini.spec.name)


def test_ground_truth(make_panoptic):
    mini = make_panoptic([[3, 20, 5], []])
    first, second = _load(mini)
    image = mini.content["images"][0]
    assert (first["height"], first["width"]) == (image["height"], image["width"])
    assert first["image_id"] == 0
    assert Path(first["file_name"]).samefile(mini.root / "images" / "0.png")
    assert Path(first["pan_seg_file_name"]).samefile(mini.root / "labels" / "0.png")
    ids = [s["id"] for s in mini.content["annotations"][0]["segments_info"]]
    assert first["segments_info"] == [
        {"id": ids[0], "category_id": 0, "iscrowd": 0, "isthing": True},
        {"id": ids[1], "category_id": 3, "iscrowd": 0, "isthing": False},
        {"id": ids[2], "category_id": 2, "iscrowd": 0, "isthing": True},
    ]
    assert second["segments_info"] == []
    assert metadata_of("mini").split == mini.split
    assert metadata_of("mini").stuff_classes == list(mini.split.names)


def _segment(key, value):
    return lambda c: c["annotations"][0]["segments_info"][0].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("images"), "'images' .list. is missing"),
        (lambda c: c.update(annotations={}), "'annotations' must be list"),
        (lambda c: c["images"][1].update(id=0), "image 1 .*the image id 0 occurs twice"),
        (
            lambda c: c["images"][1].update(id="1"),
            "the image id '1' is str, those before it are not",
        ),
        (lambda c: c["images"][1].update(height="9"), "'height' must be int, not '9'"),
        (lambda c: c["images"][1].update(width=0), "'width' is 0, not a size"),
        (lambda c: c["images"][1].pop("file_name"), "'file_name' .str. is missing"),
        (lambda c: c["annotations"][1].update(image_id=0), "image 0: the image has two annot"),
        (lambda c: c["annotations"][1].update(image_id=7), "image 7: the file lists no image"),
        (_segment("category_id", 4), "image 0: segment .*category 4 is not in .*'kitchen'"),
        (_segment("category_id", None), "'category_id' must be int, not None"),
        (
            lambda c: [s.update(id=6) for s in c["annotations"][0]["segments_info"]],
            "image 0: the segment id 6 occurs twice",
        ),
        (lambda c: c.update(annotations=[]), "no annotated image"),
        (lambda c: c["images"][0].update(file_name="9.png"), "images/9.png: there is no such file"),
        (lambda c: c["annotations"][0].update(file_name="9.png"), "labels/9.png: there is no"),
    ],
)
def test_bad_annotations_are_refused_by_name(make_panoptic, change, message):
    mini = make_panoptic([[3, 20], [9]])
    mini.rewrite(change)
    with pytest.raises(InputError, match=message) as error:
        _load(mini)
    assert mini.spec.annotations in str(error.value)


def test_malformed_and_missing_annotation_file(make_panoptic):
    mini = make_panoptic([[3]])
    Path(mini.spec.annotations).write_text('{"images": [')
    with pytest.raises(InputError, match="panoptic.json: not a JSON file"):
        _load(mini)
    with pytest.raises(InputError, match="other.json: there is no such file; run the thing"):
        _load(mini, annotations=str(mini.root / "other.json"), remedy="run the thing")


def test_missing_root_names_the_variable(make_panoptic):
    mini = make_panoptic([[3]])
    with pytest.raises(InputError, match=f"nowhere: data set 'mini'.*{ROOT_VARIABLE}"):
        _load(mini, images="nowhere")


def test_unseen_class_in_training_ground_truth(make_panoptic):
    mini = make_panoptic([[3], [3, 5]])
    assert len(_load(mini)) == 2
    with pytest.raises(InputError, match="image 1: segment .*'spoon' is an unseen class"):
        _load(mini, seen_only=True)


def test_unknown_task(make_panoptic):
    with pytest.raises(InputError, match="'mini': there is no task 'depth'"):
        _load(make_panoptic([[3]]), task="depth")


def test_table_is_registered_below_the_root(monkeypatch, tmp_path):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    cfg = get_cfg()
    add_pading_config(cfg)
    register_datasets(cfg)
    for spec in DATASETS:
        metadata = metadata_of(spec.name)
        assert metadata.image_root == str(tmp_path / spec.images)
        supervised = ("ade20k_150", "coco_stuff_171", "cityscapes_19", "pascal_context_59")
        assert metadata.split.num_unseen or spec.split in supervised
        with pytest.raises(InputError, match=ROOT_VARIABLE):
            DatasetCatalog.get(spec.name)


def test_common_split(make_panoptic):
    mini = make_panoptic([[3]])
    register(mini.spec)
    register(mini.spec.__class__(**{**mini.spec.__dict__, "name": "other", "split": "shapes"}))
    assert split_of(["mini", "mini"]) == mini.split
    with pytest.raises(InputError, match="'mini' and 'other' have different class splits"):
        split_of(["mini", "other"])
    with pytest.raises(InputError, match="no data set 'minni'.*did you mean 'mini'"):
        split_of(["mini", "minni"])
    with pytest.raises(InputError, match="no data set is named"):
        split_of([])


@pytest.mark.parametrize("dump", [yaml.safe_dump, json.dumps])
def test_own_data_set_from_a_file(make_panoptic, dump):
    mini = make_panoptic([[3]])
    row = {
        "name": "mine",
        "task": "panoptic",
        "split": "../kitchen.json",
        "images": "images",
        "annotations": "panoptic.json",
        "labels": "labels",
    }
    path = mini.root / "mine.yaml"
    path.write_text(dump([row]))
    assert register_from_file(path) == ("mine",)
    assert len(DatasetCatalog.get("mine")) == 1
    assert split_of(["mine"]) == mini.split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine", "'task' .str. is missing"),
        ("name: 3", "'name' must be str, not 3"),
        ("image_folder: x", "unknown key 'image_folder'; the keys are name, task"),
        ("just words", "expected a mapping"),
        ("{", "not a plain YAML file"),
        (
            "{name: a, task: panoptic, split: shapes, images: i, seen_only: 1}",
            "'seen_only' must be bool, not 1",
        ),
    ],
)
def test_bad_data_set_file(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        register_from_file(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("task", ["semantic", "panoptic"])
def test_another_split_does_not_change_what_label_maps_mean(task, tmp_path, monkeypatch):
    """Maps of COCO-Stuff hold places in its split; panoptic annotations hold class ids."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    name = {"semantic": "coco_stuff_156_15", "panoptic": "coco_panoptic_119_14"}[task]
    classes = [vars(info) for info in load_split(name).classes]
    new = {"id": 999, "name": "owl", "isthing": True, "unseen": True}
    cfg = get_cfg()
    add_pading_config(cfg)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (), (f"{name}_val",)
    cfg.DATASETS.SPLIT = str(tmp_path / "other.json")

    def with_classes(rows):
        Path(cfg.DATASETS.SPLIT).write_text(json.dumps({"name": "other", "classes": rows}))
        register_datasets(cfg)

    with_classes([*classes, new])
    assert split_of(cfg.DATASETS.TEST).names[-1] == "owl"
    with_classes(classes[1:])  # what does not read the maps, as prediction, goes on
    assert split_of(cfg.DATASETS.TEST).num_classes == len(classes) - 1
    problem = {
        "semantic": "hold places in the split 'coco_stuff_156_15'",
        "panoptic": "set DETECTRON2_DATASETS",  # there are none here
    }[task]
    with pytest.raises(InputError, match=problem):
        DatasetCatalog.get(f"{name}_val")
