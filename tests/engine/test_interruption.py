"""What a run does when it is stopped, when its checkpoints are damaged, and when it diverges."""

import json
import logging
import resource
import signal
from pathlib import Path

import pytest
import torch

from pading.checkpoint.weights import read_weights
from pading.engine.interruption import EXIT_STATUS
from pading.engine.loop import TrainingLoop
from pading.evaluation.evaluator import ReportingEvaluators
from pading.losses.set_criterion import SetCriterion
from tests.runs import UNSCORED, assert_same_weights, train

OPTIONS = (*UNSCORED, "SOLVER.MAX_ITER", 4)


@pytest.fixture(autouse=True)
def scenes(tiny_scenes: Path) -> None:
    """A few scenes, where the entry point looks for them."""


@pytest.fixture(scope="module")
def whole(scenes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing happened to."""
    output = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(scenes_root))
        train("pretrain", output, *OPTIONS)
    return output


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pth"))


def in_iteration(monkeypatch: pytest.MonkeyPatch, iteration: int, act) -> None:
    """Have something happen in an iteration's forward pass, once."""
    backward = TrainingLoop._backward

    def acting(loop: TrainingLoop, data: list) -> dict[str, torch.Tensor]:
        if loop.iter == iteration:
            monkeypatch.setattr(TrainingLoop, "_backward", backward)
            act()
        return backward(loop, data)

    monkeypatch.setattr(TrainingLoop, "_backward", acting)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_leaves_a_checkpoint_and_goes_on(
    number: signal.Signals, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(number)
    in_iteration(monkeypatch, 2, lambda: signal.raise_signal(number))
    with pytest.raises(SystemExit) as stopped:
        train("pretrain", tmp_path, *OPTIONS, "SOLVER.CHECKPOINT_PERIOD", 100)
    assert stopped.value.code == EXIT_STATUS == 75
    assert signal.getsignal(number) == handler
    assert checkpoints(tmp_path) == ["model_0000002.pth"]
    train("pretrain", tmp_path, "--resume", *OPTIONS)
    assert_same_weights(tmp_path / "model_final.pth", whole / "model_final.pth")


def test_a_run_stopped_in_its_evaluation_is_evaluated_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("SOLVER.MAX_ITER", 3, "TEST.EVAL_PERIOD", 2, "TEST.BEST_METRIC", "panoptic_seg/PQ")
    evaluate = ReportingEvaluators.evaluate
    calls = []

    def stopped_once(self: ReportingEvaluators) -> dict:
        calls.append(None)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGTERM)
        return evaluate(self)

    monkeypatch.setattr(ReportingEvaluators, "evaluate", stopped_once)
    with pytest.raises(SystemExit) as stopped:
        train("pretrain", tmp_path, *options)
    assert stopped.value.code == EXIT_STATUS
    assert not (tmp_path / "best.json").exists()
    train("pretrain", tmp_path, "--resume", *options)
    assert len(calls) == 3
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["evaluated"] == 3
    assert best["score"] >= 0
    assert read_weights(tmp_path / "model_best.pth")["model"]


def cut(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    options = (*OPTIONS, "SOLVER.CHECKPOINT_PERIOD", 1)
    in_iteration(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit):
        train("pretrain", tmp_path, *options)
    cut(tmp_path / "model_0000002.pth")
    with caplog.at_level(logging.WARNING):
        train("pretrain", tmp_path, "--resume", *options)
    assert any("model_0000002.pth" in m and "Cannot resume" in m for m in caplog.messages)
    assert_same_weights(tmp_path / "model_final.pth", whole / "model_final.pth")


def test_a_new_run_does_not_go_on_from_an_old_one(tmp_path: Path, whole: Path) -> None:
    """A run that is started in the folder of another and killed early begins again."""
    train("pretrain", tmp_path, *OPTIONS, "SEED", 2)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainingLoop, "run_step", raise_interrupt)
        train("pretrain", tmp_path, *OPTIONS)
    train("pretrain", tmp_path, "--resume", *OPTIONS)
    assert_same_weights(tmp_path / "model_final.pth", whole / "model_final.pth")


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_old_checkpoints_are_pruned_also_those_before_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*UNSCORED, "SOLVER.CHECKPOINT_PERIOD", 1, "SOLVER.CHECKPOINTS_KEPT", 2)
    in_iteration(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit):
        train("pretrain", tmp_path, *options, "SOLVER.MAX_ITER", 4)
    assert checkpoints(tmp_path) == ["model_0000001.pth", "model_0000002.pth"]
    (tmp_path / ".model_0000003.17.partial.pth").write_bytes(b"half")
    train("pretrain", tmp_path, "--resume", *options, "SOLVER.MAX_ITER", 4)
    assert checkpoints(tmp_path) == ["model_0000002.pth", "model_0000003.pth", "model_final.pth"]
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """A limit on the size of files stands for the full disk: writing fails in the same place."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (whole / "model_final.pth").stat().st_size // 2
    full = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))  # noqa: E731
    in_iteration(monkeypatch, 3, full)
    try:
        with pytest.raises(SystemExit) as stopped:
            train("pretrain", tmp_path, *OPTIONS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "model_final.pth: cannot write this checkpoint: File too large" in error
    assert "last complete checkpoint: model_0000001.pth" in error
    assert checkpoints(tmp_path) == ["model_0000001.pth"]
    assert not list(tmp_path.glob(".*"))
    train("pretrain", tmp_path, "--resume", *OPTIONS)
    assert_same_weights(tmp_path / "model_final.pth", whole / "model_final.pth")


@pytest.fixture
def spoilt_losses(monkeypatch: pytest.MonkeyPatch):
    """Makes the dice loss infinite in the n-th forward pass from now on, once."""

    def arrange(passes: int) -> None:
        forward = SetCriterion.forward
        left = [passes]

        def spoilt(self, *arguments):
            losses = forward(self, *arguments)
            left[0] -= 1
            if not left[0]:
                losses["loss_dice"] = losses["loss_dice"] * float("inf")
            return losses

        monkeypatch.setattr(SetCriterion, "forward", spoilt)

    return arrange


def test_an_infinite_loss_stops_the_run_and_can_be_repeated(
    tmp_path: Path, whole: Path, spoilt_losses, capsys
) -> None:
    spoilt_losses(4)
    with pytest.raises(SystemExit) as stopped:
        train("pretrain", tmp_path, *OPTIONS)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "iteration 3: loss_dice is inf with the images " in error
    assert error.count(".png") == 2
    assert "MAX_SKIPPED_STEPS" in error
    assert checkpoints(tmp_path) == ["model_0000001.pth", "nonfinite_0000003.pth"]
    # It is the state before the iteration, statistics of batch normalisation included.
    (tmp_path / "last_checkpoint").write_text("nonfinite_0000003.pth")
    train("pretrain", tmp_path, "--resume", *OPTIONS)
    assert_same_weights(tmp_path / "model_final.pth", whole / "model_final.pth")


def test_steps_without_a_finite_loss_may_be_left_out(tmp_path: Path, spoilt_losses, caplog) -> None:
    spoilt_losses(2)
    with caplog.at_level(logging.WARNING):
        train("pretrain", tmp_path, *OPTIONS, "SOLVER.MAX_SKIPPED_STEPS", 1)
    assert any("iteration 1: loss_dice is inf" in message for message in caplog.messages)
    final = read_weights(tmp_path / "model_final.pth")
    state = final["trainer"]["_trainer"]
    assert state["skipped"] == 1
    steps = {float(s["step"]) for s in state["optimizer"]["segmenter"]["state"].values()}
    assert steps == {3.0}
    assert all(value.isfinite().all() for value in final["model"].values())
