"""The published data path, COCO panoptic 119/14: preparation to scores on real photographs."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pading.vocabulary.splits import load_split

ROOT = Path(__file__).resolve().parents[1]
SPLIT = "coco_panoptic_119_14"
# R-50 as configured, but narrow and on small images, for a handful of iterations.
SMALL = """
    MODEL.WEIGHTS '' MODEL.DEVICE cpu SOLVER.AMP.ENABLED False
    MODEL.RESNETS.STEM_OUT_CHANNELS 16 MODEL.RESNETS.RES2_OUT_CHANNELS 32
    MODEL.RESNETS.WIDTH_PER_GROUP 8
    MODEL.SEGMENTER.HIDDEN_DIM 64 MODEL.SEGMENTER.MASK_DIM 64 MODEL.SEGMENTER.NUM_QUERIES 20
    MODEL.SEGMENTER.DECODER_LAYERS 2 MODEL.SEGMENTER.DECODER_FFN_DIM 128
    MODEL.SEGMENTER.ENCODER_LAYERS 1 MODEL.SEGMENTER.ENCODER_FFN_DIM 128
    MODEL.SEGMENTER.LOSS.NUM_POINTS 256 MODEL.INFERENCE.OBJECT_SCORE_THRESHOLD 0.0
    MODEL.GENERATOR.NUM_PRIMITIVES 20 MODEL.GENERATOR.FFN_DIM 128
    INPUT.IMAGE_SIZE 128 INPUT.MIN_SIZE_TEST 160 SOLVER.IMS_PER_BATCH 2 SOLVER.MAX_ITER 3
    SOLVER.STEPS () DATALOADER.NUM_WORKERS 0
""".replace("''", '""').split()
GROUPS = ("", "_things", "_stuff", "_seen", "_unseen")


@pytest.fixture(scope="module")
def datasets(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO's layout: 50 photographs to train on, two that show unseen classes to validate on."""
    root = tmp_path_factory.mktemp("datasets")
    coco = root / "coco"
    (coco / "annotations").mkdir(parents=True)
    tiny, sample = shared / "data" / "tiny_coco", shared / "data" / "coco_panoptic_sample"
    for link, target in {
        "train2017": tiny / "train2017",
        "panoptic_train2017": tiny / "panoptic_train2017",
        "annotations/panoptic_train2017.json": tiny / "annotations" / "panoptic_train2017.json",
        "val2017": sample / "images",
        "panoptic_val2017": sample / "panoptic",
        "annotations/panoptic_val2017.json": sample / "panoptic.json",
    }.items():
        (coco / link).symlink_to(target)
    return root


def run(script: str, *arguments: object, datasets: Path, cwd: Path = ROOT) -> str:
    result = subprocess.run(
        [sys.executable, str(ROOT / script), *map(str, arguments)],
        env={**os.environ, "DETECTRON2_DATASETS": str(datasets), "OMP_NUM_THREADS": "2"},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
def test_three_stages(datasets: Path, tmp_path: Path) -> None:
    coco = datasets / "coco"
    run("datasets/prepare_coco_panoptic.py", "--root", coco, datasets=datasets)
    annotations = coco / "annotations"
    prepared = annotations / f"panoptic_train2017_{SPLIT}_seen.json"
    split = load_split(SPLIT)
    unseen = {split.classes[i].id for i in split.unseen}
    everything = json.loads((annotations / "panoptic_train2017.json").read_text())["annotations"]
    kept = json.loads(prepared.read_text())["annotations"]
    shows_unseen = [
        a for a in everything if any(s["category_id"] in unseen for s in a["segments_info"])
    ]
    assert shows_unseen, "the photographs no longer test that the preparation drops any"
    assert len(kept) == len(everything) - len(shows_unseen)

    stage1, stage2 = tmp_path / "pretrain", tmp_path / "PADing"
    train = ("tools/train_net.py", "--num-gpus", 1, "--config-file")
    configs = ROOT / "configs" / "panoptic"
    run(*train, configs / "pretrain.yaml", *SMALL, "OUTPUT_DIR", stage1, datasets=datasets)
    run(
        *("tools/preprocess_pretrained_weight.py", "--task_name", "panoptic"),
        *("--input_file", stage1 / "model_final.pth"),
        datasets=datasets,
        cwd=tmp_path,
    )
    converted = tmp_path / "pretrained_weight_panoptic.pth"
    fine_tune = (*train, configs / "PADing.yaml")
    settings = (*SMALL, "OUTPUT_DIR", stage2, "MODEL.WEIGHTS")
    run(*fine_tune, *settings, converted, datasets=datasets)

    [results] = stage2.rglob("results.json")
    results.unlink()
    run(*fine_tune, "--eval-only", *settings, stage2 / "model_final.pth", datasets=datasets)
    report = json.loads(results.read_text())
    assert report["split"] == SPLIT
    assert list(report["per_class"]["panoptic_seg"]) == list(split.names)
    metrics = report["metrics"]["panoptic_seg"]
    for group in GROUPS:
        for metric in ("PQ", "SQ", "RQ"):
            value = metrics[metric + group]
            assert value is not None and math.isfinite(value) and 0 <= value <= 100
    truth = json.loads((annotations / "panoptic_val2017.json").read_text())["annotations"]
    present = {split.contiguous_id[s["category_id"]] for a in truth for s in a["segments_info"]}
    assert present & set(split.unseen), "the validation photographs show no unseen class"
    for index, (name, values) in enumerate(report["per_class"]["panoptic_seg"].items()):
        assert values["seen"] == (index in split.seen), name
        assert (values["tp"] + values["fn"] > 0) == (index in present), name
