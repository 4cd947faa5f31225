"""The entry point on a few synthetic scenes: both stages, resuming, evaluation, bad input."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pading.checkpoint.weights import read_weights
from pading.vocabulary.splits import load_split
from tests.runs import ITERATIONS, ROOT, UNSCORED, metrics, train


@pytest.fixture(autouse=True)
def scenes(tiny_scenes: Path) -> None:
    """A few scenes, where the entry point looks for them."""


@pytest.fixture(scope="module")
def stage_two(scenes_root: Path, converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("PADing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(scenes_root))
        train("PADing", output, "MODEL.WEIGHTS", converted)
    return output


def check_results(output: Path) -> dict:
    results = json.loads(
        (output / "inference" / "shapes_panoptic_val" / "results.json").read_text()
    )
    found = results["metrics"]["panoptic_seg"]
    assert {"PQ_seen", "PQ_unseen", "PQ_harmonic"} <= set(found)
    assert all(v is None or math.isfinite(v) for v in found.values())
    return found


def test_stage_one_trains_saves_and_evaluates(stage_one: Path) -> None:
    checkpoint = read_weights(stage_one / "model_final.pth")
    assert checkpoint["iteration"] == ITERATIONS - 1
    assert metrics(stage_one)
    # Seen classes alone: nothing unseen can be found.
    assert not check_results(stage_one)["PQ_unseen"]


def test_stage_two_leaves_the_segmenter_alone(stage_two: Path, converted: Path) -> None:
    before = read_weights(converted)["model"]
    after = read_weights(stage_two / "model_final.pth")["model"]
    for name, value in before.items():
        if not name.startswith("classifier."):
            assert torch.equal(after[name], value), name
    assert not torch.equal(after["classifier.weight"], before["classifier.weight"])
    assert after["class_vectors"].shape[0] == load_split("shapes").num_classes
    check_results(stage_two)


def test_eval_only_gives_what_training_gave(stage_two: Path, tmp_path: Path) -> None:
    weights = stage_two / "model_final.pth"
    train("PADing", tmp_path, "--eval-only", "MODEL.WEIGHTS", weights)
    assert check_results(tmp_path) == check_results(stage_two)


def test_resumed_run_continues(stage_two: Path, tmp_path: Path, converted: Path) -> None:
    train("PADing", tmp_path, "MODEL.WEIGHTS", converted, *UNSCORED)
    first = read_weights(tmp_path / "model_final.pth")
    train("PADing", tmp_path, "--resume", "SOLVER.MAX_ITER", ITERATIONS + 2, *UNSCORED)
    resumed = read_weights(tmp_path / "model_final.pth")
    assert resumed["iteration"] == ITERATIONS + 1
    state, before = (c["trainer"]["_trainer"]["optimizer"] for c in (resumed, first))
    assert set(state) == {"classifier", "generator"}
    steps = [
        {float(moments["step"]) for moments in s["generator"]["state"].values()}
        for s in (before, state)
    ]
    assert steps == [{float(ITERATIONS)}, {float(ITERATIONS + 2)}]


# The first steps in float16 are left out while the loss's scale is being found.
@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler.step:UserWarning")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("stage", ["pretrain", "PADing"])
def test_mixed_precision(stage: str, dtype: str, converted: Path, tmp_path: Path) -> None:
    weights = ("MODEL.WEIGHTS", converted) if stage == "PADing" else ()
    mixed = ("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", dtype)
    train(stage, tmp_path, *mixed, *weights, "SOLVER.MAX_ITER", 2, *UNSCORED)
    for value in read_weights(tmp_path / "model_final.pth")["model"].values():
        assert value.isfinite().all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("MODEL.WEIGHTS", "nowhere.pth"), "MODEL.WEIGHTS nowhere.pth: there is no such file"),
        (("OUTPUT_DIR", "/dev/null/x"), "OUTPUT_DIR /dev/null/x: cannot write there"),
        (("DATASETS.TRAIN", "('shapes_panoptic_trian',)"), "did you mean 'shapes_panoptic_train'"),
        (("DATASETS.TRAIN", "('shapes_panoptic_val',)"), "may hold unseen classes"),
        (("SOLVER.MAX_ITERS", "3"), "did you mean SOLVER.MAX_ITER?"),
        (("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "int8"), "SOLVER.AMP.DTYPE is 'int8'"),
        (("--eval-only",), "no weights; give those of a trained model as MODEL.WEIGHTS FILE"),
    ],
)
def test_bad_input(
    overrides: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        train("pretrain", tmp_path, *overrides)
    assert exit_info.value.code == 2
    assert_one_line(capsys.readouterr().err, message)


def assert_one_line(stderr: str, message: str) -> None:
    assert "Traceback" not in stderr
    [line] = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert message in line


def test_weights_of_stage_one_are_sent_to_the_converter(
    stage_one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train("PADing", tmp_path, "MODEL.WEIGHTS", stage_one / "model_final.pth")
    assert_one_line(capsys.readouterr().err, "tools/preprocess_pretrained_weight.py grows the head")


def test_stage_two_without_vectors_for_its_classes(
    converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = ("MODEL.CLASS_VECTORS", "coco_minilm")
    with pytest.raises(SystemExit):
        train("PADing", tmp_path, "MODEL.WEIGHTS", converted, *vectors)
    assert_one_line(capsys.readouterr().err, "class vectors coco_minilm, split 'shapes'")


def test_stage_two_with_a_head_for_seen_classes(
    converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train("PADing", tmp_path, "MODEL.SEGMENTER.CLASSES", "seen", "MODEL.WEIGHTS", converted)
    assert_one_line(capsys.readouterr().err, 'MODEL.SEGMENTER.CLASSES must be "all"')


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["--config-file", "none.yaml"], "none.yaml: cannot read this configuration"),
        (
            ["--config-file", "configs/shapes/pretrain.yaml", "--num-gpus", "64"],
            "--num-gpus 64: PyTorch sees",
        ),
    ],
)
def test_exit_status_and_message_of_the_program(command: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "tools/train_net.py", *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert_one_line(done.stderr, message)
