"""Every shipped stage, narrowed: its model is built for the task, split and classes it is for."""

from pathlib import Path

import pytest

from pading.config import load_config
from pading.data.catalogue import metadata_of, register_datasets, split_of
from pading.data.tasks import check_tasks
from pading.engine.building import configured_model
from tests.narrow import NARROW_R50_OVERRIDES

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
# Folder of a task -> its results, and the number of seen and unseen classes.
TASKS = {
    "panoptic": ("panoptic", 119, 14),
    "instance": ("instance", 48, 17),
    "instance_65_15": ("instance", 65, 15),
    "semantic": ("semantic", 156, 15),
    "shapes": ("panoptic", 36, 6),
    "shapes/instance": ("instance", 36, 6),
    "shapes/semantic": ("semantic", 36, 6),
}


def stage_of(task: str, stage: str) -> Path:
    folder, suffix, _ = task.partition("_65_15")
    return CONFIGS / folder / f"{stage}{suffix}.yaml"


def test_every_stage_is_listed() -> None:
    shipped = {
        path
        for stage in ("pretrain", "PADing")
        for path in CONFIGS.rglob(f"{stage}*.yaml")
        if path.parent.name
        not in ("shared", "msrc")  # tests/tools/test_demo_msrc.py has the latter
    }
    assert shipped == {stage_of(task, stage) for task in TASKS for stage in ("pretrain", "PADing")}


@pytest.mark.parametrize("stage", ["pretrain", "PADing"])
@pytest.mark.parametrize("task", TASKS)
def test_model(task: str, stage: str) -> None:
    result, num_seen, num_unseen = TASKS[task]
    cfg = load_config(str(stage_of(task, stage)), NARROW_R50_OVERRIDES)
    register_datasets(cfg)
    split = split_of([*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST])
    assert (split.num_seen, split.num_unseen) == (num_seen, num_unseen)
    assert all(metadata_of(name).seen_only for name in cfg.DATASETS.TRAIN)
    check_tasks(cfg, cfg.DATASETS.TRAIN, () if result == "instance" else cfg.DATASETS.TEST)
    model = configured_model(cfg)
    assert model.inference.tasks == (result,)
    known = split.num_seen if stage == "pretrain" else split.num_classes
    assert model.sem_seg_head["predictor"].class_embed.out_features == known + 1
    assert hasattr(model, "classifier") == (stage == "PADing")


def test_no_two_stages_write_to_one_folder() -> None:
    stages = [stage_of(task, stage) for task in TASKS for stage in ("pretrain", "PADing")]
    folders = {load_config(str(path)).OUTPUT_DIR for path in stages}
    assert len(folders) == len(stages)
