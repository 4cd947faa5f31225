"""The entry point in several processes: started by itself, and by torchrun."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from multiprocessing import forkserver
from pathlib import Path

import pytest

from pading.checkpoint.weights import read_weights
from pading.engine import launch
from pading.engine.interruption import EXIT_STATUS
from tests.runs import ROOT, UNSCORED, arguments, assert_same_weights, train

TWO = ("--num-gpus=2", "--dist-url=auto")


@pytest.fixture(autouse=True)
def scenes(tiny_scenes: Path) -> None:
    """A few scenes, where the entry point looks for them."""


def results(folder: Path) -> dict:
    return json.loads((folder / "inference/shapes_panoptic_val/results.json").read_text())


def test_two_processes_train_and_evaluate(converted: Path, tmp_path: Path) -> None:
    options = ("MODEL.WEIGHTS", converted, "SOLVER.MAX_ITER", 2)
    train("PADing", tmp_path / "two", *TWO, *options)
    final = tmp_path / "two" / "model_final.pth"
    train("PADing", tmp_path / "one", "--eval-only", "MODEL.WEIGHTS", final)
    assert results(tmp_path / "one") == results(tmp_path / "two")
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert record["starts"][0]["processes"] == 2


def test_a_signal_reaches_all_processes_and_the_run_goes_on(
    converted: Path, tmp_path: Path
) -> None:
    """Slurm sends it to all, that from which the others are forked included."""
    options = (*UNSCORED, "MODEL.WEIGHTS", converted, "SOLVER.MAX_ITER", 3000)
    options = (*options, "SOLVER.CHECKPOINT_PERIOD", 20)

    def stop() -> None:
        deadline = time.monotonic() + 200
        while not list(tmp_path.glob("model_*.pth")) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in (forkserver._forkserver._forkserver_pid, os.getpid()):
            os.kill(process, signal.SIGTERM)

    # One that another test has started is not the launcher's.
    forkserver._forkserver._stop()
    watcher = threading.Thread(target=stop)
    watcher.start()
    with pytest.raises(SystemExit) as stopped:
        train("PADing", tmp_path, *TWO, *options)
    watcher.join()
    assert stopped.value.code == EXIT_STATUS
    last = tmp_path / (tmp_path / "last_checkpoint").read_text()
    done = read_weights(last)["iteration"] + 1
    assert 20 <= done < 3000
    with pytest.raises(SystemExit) as refused:
        train("PADing", tmp_path, "--resume", *TWO, *options, "SOLVER.ACCUMULATION_STEPS", 2)
    assert refused.value.code == 2
    train("PADing", tmp_path, "--resume", *TWO, *options, "SOLVER.MAX_ITER", done + 2)
    assert read_weights(tmp_path / "model_final.pth")["iteration"] == done + 1


def test_processes_on_a_cpu_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has made its shards of a store waits for hours until the others have."""
    given = {}
    monkeypatch.setattr(
        launch.distributed, "init_process_group", lambda backend, **more: given.update(more)
    )
    monkeypatch.setattr(launch, "create_local_process_group", lambda processes: None)
    launch._join("cpu", "tcp://127.0.0.1:1", (0, 2), (0, 2))
    assert given["timeout"] >= timedelta(hours=12)


def test_what_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(*more: object) -> str:
        with pytest.raises(SystemExit) as refused:
            train("pretrain", tmp_path, *more)
        assert refused.value.code == 2
        return capsys.readouterr().err

    assert "SOLVER.IMS_PER_BATCH is 2, but it is shared by 3 processes" in error("--num-gpus=3")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"--dist-url=tcp://127.0.0.1:{taken.getsockname()[1]}"
        assert "its port is taken" in error("--num-gpus=2", url)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT not" in error()


@pytest.mark.slow
def test_torchrun(stage_one: Path, tmp_path: Path) -> None:
    weights = stage_one / "model_final.pth"

    def torchrun(output: Path, *more: object) -> None:
        torch_run = (sys.executable, "-m", "torch.distributed.run", "--standalone")
        command = (*torch_run, "--nproc-per-node=2", "tools/train_net.py")
        path = os.pathsep.join([str(ROOT), *sys.path])
        done = subprocess.run(
            [*command, *arguments("pretrain", output, *more)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    torchrun(tmp_path, "MODEL.WEIGHTS", weights, "SOLVER.MAX_ITER", 2)
    final = tmp_path / "model_final.pth"
    train("pretrain", tmp_path / "one", "--eval-only", "MODEL.WEIGHTS", final)
    assert results(tmp_path) == results(tmp_path / "one")
    with pytest.raises(AssertionError):
        assert_same_weights(final, weights)
