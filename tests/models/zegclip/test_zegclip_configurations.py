"""Every shipped configuration of ZegCLIP: data sets, classes, where self-training starts."""

from pathlib import Path

import pytest

from pading.bench.plan import read_plan
from pading.config import check_settings, load_config
from pading.data.catalogue import metadata_of, register_datasets, split_of
from pading.models.registry import model_class
from tests.models.recordings import ROOT

FOLDER = Path(ROOT) / "configs" / "zegclip"
CLASSES = {
    "coco_stuff_156_15": (156, 15),
    "pascal_voc_15_5": (15, 5),
    "pascal_context_49_10": (49, 10),
}
SETTINGS = ("inductive", "transductive", "supervised")


def named(task: str, setting: str) -> Path:
    return FOLDER / f"{task}{f'_{setting}' * (setting != 'inductive')}.yaml"


def test_all_are_listed() -> None:
    assert {*FOLDER.glob("*.yaml")} == {named(t, s) for t in CLASSES for s in SETTINGS}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("task", CLASSES)
def test_configuration(task: str, setting: str) -> None:
    cfg = load_config(str(named(task, setting)))
    check_settings(cfg)
    register_datasets(cfg)
    split = split_of([*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST])
    system = model_class(cfg.MODEL.META_ARCHITECTURE)
    system.check(cfg, split)
    assert (split.num_seen, split.num_unseen) == CLASSES[task]
    assert setting == cfg.MODEL.ZEGCLIP.SETTING
    [train] = cfg.DATASETS.TRAIN
    assert metadata_of(train).seen_only == (not system.learns_unseen(cfg))
    assert (0.1 if setting == "inductive" else 0) == cfg.MODEL.INFERENCE.SEEN_BIAS
    if setting == "transductive":
        whole = load_config(str(named(task, "inductive")))
        half = whole.SOLVER.MAX_ITER // 2
        assert half == whole.SOLVER.CHECKPOINT_PERIOD == cfg.SOLVER.MAX_ITER
        assert f"{whole.OUTPUT_DIR}/model_{half - 1:07d}.pth" == cfg.MODEL.WEIGHTS


def test_the_benchmark_of_its_parts() -> None:
    plan = read_plan(Path(ROOT) / "research" / "ablation" / "zegclip_shapes.yaml")
    stages = {row.name: row.stages for row in plan.rows}
    [whole] = {load_config(stage.config).SOLVER.MAX_ITER for [stage, *_] in stages.values()}
    assert {s.settings["SOLVER.MAX_ITER"] for s in stages["transductive"]} == {whole // 2}
    assert all(len(made) == 1 for name, made in stages.items() if name != "transductive")
