"""The instance and semantic paths on real photographs, both stages, by configuration alone.

COCO photographs go through the 48/17 and 65/15 protocols from preparation to scores in both
settings; street scenes through the semantic path as a user's own data set with a split of its own.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pading.commands import convert as preprocess_pretrained_weight
from pading.commands import train as train_net
from pading.data.preparation import coco_instances
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import load_split
from tests.narrow import NARROW_R50_OVERRIDES
from tests.runs import ROOT, UNSCORED, run

SMALL = [
    *NARROW_R50_OVERRIDES,
    *("SOLVER.AMP.ENABLED", "False", "SOLVER.IMS_PER_BATCH", "2", "DATALOADER.NUM_WORKERS", "0"),
    *("SOLVER.MAX_ITER", "3", "SOLVER.STEPS", "()", "INPUT.IMAGE_SIZE", "96"),
    *("INPUT.MIN_SIZE_TEST", "96", "TEST.DETECTIONS_PER_IMAGE", "10"),
]
STREET_CLASSES = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car"),
    *("pedestrian", "bicyclist"),
)
HELD_OUT = {"pavement", "sign symbol", "bicyclist"}
THINGS = {"pole", "sign symbol", "car", "pedestrian", "bicyclist"}
UNLABELLED = 11


def both_stages(config: Path, split: str, output: Path, suffix: str = "") -> list[Any]:
    """Stage 1, conversion, stage 2; gives the command that evaluates the result."""
    stage1, stage2 = output / "pretrain", output / "PADing"
    first, second = (config / f"{stage}{suffix}.yaml" for stage in ("pretrain", "PADing"))
    scratch = ("OUTPUT_DIR", stage1, "MODEL.WEIGHTS", "")
    run(train_net.main, "--config-file", first, *SMALL, *scratch, *UNSCORED)
    run(
        preprocess_pretrained_weight.main,
        *("--task_name", "instance", "--split", split, "--output_file", output / "converted.pth"),
        *("--input_file", stage1 / "model_final.pth"),
    )
    tuned = ("OUTPUT_DIR", stage2, "MODEL.WEIGHTS", output / "converted.pth")
    run(train_net.main, "--config-file", second, *SMALL, *tuned)
    return [
        *(train_net.main, "--config-file", second, "--eval-only", *SMALL),
        *("MODEL.WEIGHTS", stage2 / "model_final.pth"),
    ]


def report(output: Path) -> dict[str, Any]:
    [path] = output.rglob("results.json")
    return json.loads(path.read_text())


def shares(values: dict[str, float | None]) -> list[float]:
    """The figures of classes that occur; each is a share of 100."""
    found = [value for value in values.values() if value is not None]
    assert all(math.isfinite(value) and 0 <= value <= 100 for value in found)
    return found


@pytest.fixture
def coco(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """COCO 2014's layout of the photographs, prepared."""
    root = tmp_path / "datasets" / "coco"
    (root / "annotations").mkdir(parents=True)
    tiny = shared / "data" / "tiny_coco"
    for subset in ("train", "val"):
        (root / f"{subset}2014").symlink_to(tiny / f"{subset}2017")
        (root / "annotations" / f"instances_{subset}2014.json").symlink_to(
            tiny / "annotations" / f"instances_{subset}2017.json"
        )
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root.parent))
    coco_instances.main(["--root", str(root)])
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "suffix"), [("coco_instance_48_17", ""), ("coco_instance_65_15", "_65_15")]
)
def test_instances(name: str, suffix: str, coco: Path, tmp_path: Path) -> None:
    evaluate = both_stages(ROOT / "configs" / "instance", name, tmp_path, suffix)
    split = load_split(name)
    results = report(tmp_path / "PADing")
    assert (results["dataset"], results["split"]) == (f"{name}_val_gzsi", name)
    for task in ("segm", "bbox"):
        groups = ("", "_seen", "_unseen")
        wanted = {f"{m}{g}" for m in ("AP40", "AP50", "AP60", "recall50") for g in groups}
        assert wanted | {"AP", "AP50_harmonic"} <= set(results["metrics"][task])
        assert len(shares(results["metrics"][task])) == len(results["metrics"][task])
        assert list(results["per_class"][task]) == list(split.names)

    zsi = ("MODEL.INFERENCE.INSTANCE_SETTING", "zsi", "DATASETS.TEST", f"('{name}_val_zsi',)")
    run(*evaluate, *zsi, "OUTPUT_DIR", tmp_path / "zsi")
    results = report(tmp_path / "zsi")
    assert {key.rpartition("_")[2] for key in results["metrics"]["segm"]} == {"unseen"}
    assert len(shares(results["metrics"]["segm"])) == 7


@pytest.fixture
def streets(shared: Path, tmp_path: Path) -> Path:
    """A folder with nothing but text files of the user's: split, data sets, two configurations."""
    classes = [
        {"id": i, "name": name, "isthing": name in THINGS, "unseen": name in HELD_OUT}
        for i, name in enumerate(STREET_CLASSES)
    ]
    (tmp_path / "streets.json").write_text(json.dumps({"name": "streets", "classes": classes}))
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(STREET_CLASSES), 8)).astype(np.float32)
    ClassVectors(STREET_CLASSES, vectors, "a test").save(tmp_path / "streets.npz")
    rows = []
    for subset, count in (("train", 8), ("val", 4)):
        source = shared / "data" / "camvid"
        for kind in ("images", "labels"):
            (tmp_path / kind / subset).mkdir(parents=True)
            for path in sorted((source / kind / subset).iterdir())[:: 50 // count][:count]:
                (tmp_path / kind / subset / path.name).symlink_to(path)
        rows.append(
            {
                "name": f"streets_{subset}",
                "task": "semantic",
                "split": "streets.json",
                "images": f"images/{subset}",
                "labels": f"labels/{subset}",
                "ignored_labels": [UNLABELLED],
                "seen_only": subset == "train",
            }
        )
    (tmp_path / "streets.yaml").write_text(yaml.safe_dump(rows))
    for stage in ("pretrain", "PADing"):
        config = {
            "_BASE_": str(ROOT / "configs" / "semantic" / f"{stage}.yaml"),
            "DATASETS": {
                "FILES": [str(tmp_path / "streets.yaml")],
                "TRAIN": ["streets_train"],
                "TEST": ["streets_val"],
            },
            "MODEL": {"CLASS_VECTORS": str(tmp_path / "streets.npz")},
        }
        (tmp_path / f"{stage}.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


@pytest.mark.slow
def test_streets(streets: Path, tmp_path: Path) -> None:
    both_stages(streets, str(streets / "streets.json"), tmp_path / "output")
    results = report(tmp_path / "output" / "PADing")
    assert (results["dataset"], results["split"]) == ("streets_val", "streets")
    metrics = results["metrics"]["sem_seg"]
    assert {"mIoU_seen", "mIoU_unseen", "mIoU_harmonic", "fwIoU", "pixel_accuracy"} <= set(metrics)
    assert len(shares(metrics)) == len(metrics)
    per_class = results["per_class"]["sem_seg"]
    assert {name for name, row in per_class.items() if not row["seen"]} == HELD_OUT
    assert all(per_class[name]["pixels"] for name in HELD_OUT)
