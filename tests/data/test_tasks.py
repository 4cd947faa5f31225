"""Results asked for against the data sets that are to give them."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog

from pading.config import add_pading_config
from pading.data.catalogue import register
from pading.data.spec import DatasetSpec
from pading.data.tasks import check_tasks, instance_setting, tasks_of
from pading.errors import InputError

TASKS = ("panoptic", "instance", "semantic")


@pytest.fixture
def cfg() -> CfgNode:
    cfg = get_cfg()
    add_pading_config(cfg)
    return cfg


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, split_file: Path) -> Iterator[Path]:
    """A data set for each task, and a panoptic one with instances; gives the instances' file."""
    instances = tmp_path / "instances.json"
    instances.write_text("{}")
    panoptic = DatasetSpec("panoptic", "panoptic", str(split_file), "images", "a.json", "labels")
    specs = (
        panoptic,
        replace(panoptic, name="both", instances=str(instances)),
        replace(panoptic, name="instance", task="instance", annotations=str(instances)),
        replace(panoptic, name="semantic", task="semantic", annotations=""),
    )
    for spec in specs:
        register(spec)
    yield instances
    for spec in specs:
        DatasetCatalog.remove(spec.name)
        MetadataCatalog.remove(spec.name)


def ask(cfg: CfgNode, *tasks: str) -> CfgNode:
    for task in TASKS:
        cfg.MODEL.INFERENCE[f"{task.upper()}_ON"] = task in tasks
    return cfg


@pytest.mark.parametrize(
    ("tasks", "data"),
    [
        (["panoptic", "semantic"], "panoptic"),
        (["panoptic", "semantic", "instance"], "both"),
        (["instance"], "both"),
        (["instance"], "instance"),
        (["semantic"], "semantic"),
        (["semantic"], "panoptic"),
    ],
)
def test_what_fits(cfg: CfgNode, tasks: list[str], data: str) -> None:
    check_tasks(ask(cfg, *tasks), [data], [data])
    assert [task for task, on in tasks_of(cfg).items() if on] == sorted(tasks, key=TASKS.index)


@pytest.mark.parametrize(
    ("tasks", "train", "test", "message"),
    [
        (["panoptic"], "panoptic", "instance", "PANOPTIC_ON: the data set 'instance' is for inst"),
        (["panoptic"], "semantic", "panoptic", "PANOPTIC_ON: the data set 'semantic' is for sem"),
        (["semantic"], "semantic", "instance", "SEMANTIC_ON: the data set 'instance'"),
        (["instance"], "semantic", "instance", "INSTANCE_ON: the data set 'semantic'"),
        (["instance"], "panoptic", "panoptic", "'panoptic' has no instance annotations"),
        ([], "panoptic", "panoptic", "no result is asked for; set PANOPTIC_ON"),
    ],
)
def test_what_does_not(cfg: CfgNode, tasks: list[str], train: str, test: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        check_tasks(ask(cfg, *tasks), [train], [test])


def test_training_on_panoptic_data_needs_no_instance_file(cfg: CfgNode) -> None:
    check_tasks(ask(cfg, "instance"), ["panoptic"], ["instance"])


def test_instances_whose_file_is_missing(cfg: CfgNode, registered: Path) -> None:
    registered.unlink()
    with pytest.raises(InputError, match=f"{registered}: there is no such file"):
        check_tasks(ask(cfg, "panoptic", "instance"), ["panoptic"], ["both"])


def test_more_classes_than_a_label_map_has_room_for(
    cfg: CfgNode, split_file: Path, registered: Path
) -> None:
    rows = [{"id": i, "name": f"c{i}", "isthing": True, "unseen": not i} for i in range(65535)]
    split_file.write_text(json.dumps({"name": "many", "classes": rows}))
    register(DatasetSpec("panoptic", "panoptic", str(split_file), "images", "a.json", "labels"))
    check_tasks(ask(cfg, "panoptic"), [], ["panoptic"])
    with pytest.raises(InputError, match="'many' has 65535 classes.*room for 65534"):
        check_tasks(ask(cfg, "panoptic", "semantic"), [], ["panoptic"])


def test_settings(cfg: CfgNode) -> None:
    inference, segmenter = cfg.MODEL.INFERENCE, cfg.MODEL.SEGMENTER
    assert instance_setting(cfg) == "gzsi"
    inference.INSTANCE_SETTING, segmenter.CLASSES = "zsi", "all"
    assert instance_setting(cfg) == "zsi"
    segmenter.CLASSES = "seen"
    with pytest.raises(InputError, match="a model of stage 1"):
        instance_setting(cfg)


def test_plain_setting_needs_an_unseen_class(
    cfg: CfgNode, split_file: Path, registered: Path
) -> None:
    split_file.write_text(split_file.read_text().replace('"unseen": true', '"unseen": false'))
    register(DatasetSpec("instance", "instance", str(split_file), "images", str(registered)))
    ask(cfg, "instance").MODEL.INFERENCE.INSTANCE_SETTING = "zsi"
    cfg.MODEL.SEGMENTER.CLASSES = "all"
    with pytest.raises(InputError, match="no class of the split 'kitchen' is unseen"):
        check_tasks(cfg, [], ["instance"])
