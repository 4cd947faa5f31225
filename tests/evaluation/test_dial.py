"""The dial: each point is what an evaluation with that SEEN_BIAS gives."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pading import load_config
from pading.commands import evaluate
from pading.config import config_from_yaml
from pading.data.catalogue import register_datasets
from pading.engine.building import configured_model
from pading.engine.trainer import Trainer
from pading.evaluation.dial import dial, halves
from pading.evaluation.evaluators import build_evaluator
from pading.evaluation.seen_unseen_curve import Curve, Point
from pading.models.trained import load_trained
from tests.narrow import NARROW_OVERRIDES

BIASES = (-0.02, 0.0, 0.01, 1.0)
CONFIGS = {
    "shapes/PADing": (
        "shapes_panoptic_val",
        ["MODEL.INFERENCE.INSTANCE_ON", "True", "MODEL.INFERENCE.SEMANTIC_ON", "True"],
        {"panoptic_seg", "segm", "sem_seg"},
    ),
    "shapes/semantic/LSeg": ("shapes_semantic_val", [], {"sem_seg"}),
}


def test_a_curve_out_of_its_record() -> None:
    points = tuple(Point(bias, 60.0 - bias, 20.0 + bias, 30.0 + bias) for bias in (-0.5, 0.0, 0.5))
    curve = Curve("panoptic_seg", "PQ", points)
    assert Curve.from_record("panoptic_seg", json.loads(json.dumps(curve.record()))) == curve


@pytest.mark.parametrize("config", CONFIGS)
def test_a_point_is_an_evaluation(
    config: str, tiny_scenes: Path, tmp_path: Path, seed: int
) -> None:
    name, more, tasks = CONFIGS[config]
    pairs = [*NARROW_OVERRIDES, *more, "DATASETS.TEST", f"('{name}',)"]
    cfg = load_config(config, pairs)
    register_datasets(cfg)
    model = configured_model(cfg).eval()
    curves = {curve.task: curve for curve in dial(cfg, model, name, tmp_path / "dial", BIASES)}
    assert set(curves) == tasks
    for place, bias in enumerate(BIASES):
        model.inference = replace(model.inference, seen_bias=bias)
        evaluator = build_evaluator(cfg, name, tmp_path / "one")
        evaluator.reset()
        with torch.no_grad():
            for batch in Trainer.build_test_loader(cfg, name):
                evaluator.process(batch, model(batch))
        evaluator.evaluate()
        for scores in evaluator.scores:
            if scores.task in curves:
                point = curves[scores.task].points[place]
                figure = curves[scores.task].figure
                assert point.bias == bias
                found = [scores.groups[group][figure] for group in ("seen", "unseen", "harmonic")]
                assert found == [point.seen, point.unseen, point.harmonic]
    assert curves["sem_seg"].points[-1].seen == 0, "no seen class is left"


def test_area_and_best_by_hand() -> None:
    points = (Point(0.0, 80, 0, 0.0), Point(0.3, 60, 30, 40.0), Point(1.0, 0, 50, 0.0))
    curve = Curve("sem_seg", "mIoU", points)
    assert curve.best == points[1]
    assert curve.area == pytest.approx(0.6 * 0.4 + 0.2 * 0.15)


def test_halves(tiny_scenes: Path, tmp_path: Path) -> None:
    from detectron2.data import DatasetCatalog

    cfg = load_config("shapes/PADing", ["MODEL.DEVICE", "cpu"])
    register_datasets(cfg)
    for name in ("shapes_panoptic_val", "shapes_semantic_val", "shapes_instance_val"):
        everything = {e["image_id"] for e in DatasetCatalog.get(name)}
        with halves(name, 0.4, 0, tmp_path) as parts:
            first, second = ({e["image_id"] for e in DatasetCatalog.get(p)} for p in parts)
        assert first | second == everything and not first & second
        assert len(first) == round(0.4 * len(everything))
        assert parts[0] not in DatasetCatalog.list()


def test_chosen_and_written(
    stage_one: Path, tiny_scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "model.pth"
    weights.write_bytes((stage_one / "model_final.pth").read_bytes())
    output = tmp_path / "dial"
    options = ["--output", str(output), "--biases", "0", "0.7", "--choose-dial", "0.4"]
    name = "shapes_panoptic_val"
    data = ["--seed", "1", "DATASETS.TEST", f"('{name}',)", "MODEL.DEVICE", "cpu"]
    evaluate.main(["--dial", str(weights), *options, *data])
    out = capsys.readouterr().out
    content = json.loads((output / f"{name}_chosen_by" / "dial.json").read_text())
    best = content["panoptic_seg"]["best"]["bias"]
    assert f"MODEL.INFERENCE.SEEN_BIAS is {best:g} from now on" in out
    assert "images that the choice has not seen" in out
    assert (output / f"{name}_chosen_by" / "dial_panoptic_seg.png").is_file()
    cfg, model = load_trained(weights, ["MODEL.DEVICE", "cpu"])
    assert cfg.MODEL.INFERENCE.SEEN_BIAS == model.inference.seen_bias == best
    content = torch.load(weights, weights_only=True)
    assert best == config_from_yaml(content["config"], "").MODEL.INFERENCE.SEEN_BIAS


def test_what_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["--task", "panoptic"])
    assert "--split, --ground-truth, --predictions (or --dial)" in capsys.readouterr().err
