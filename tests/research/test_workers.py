"""Tasks in processes of their own."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from pading.errors import InputError
from research.ablation.workers import TaskError, run_in_processes

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pading.engine.trainer", "pading.evaluation.evaluators"])


def work(task: str, folder: Path) -> tuple[str, str, int, int]:
    """What a process does here."""
    kind, _, what = task.partition(" ")
    print(task, flush=True)
    if kind == "refuse":
        raise InputError("the value is 1; use 2")
    if kind == "break":
        raise KeyError(what)
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "sleep":
        time.sleep(float(what))
    return task, folder.name, os.getpid(), torch.get_num_threads()


def done(tasks: Iterable[str], folder: Path, processes: int = 2):
    return run_in_processes(work, tasks, folder, context=CONTEXT, processes=processes, threads=1)


def test_every_task_is_done_once(tmp_path: Path) -> None:
    tasks = [f"task {n}" for n in range(9)]
    results = dict(done(tasks, tmp_path))
    assert sorted(results) == tasks
    assert all(task == answer[0] for task, answer in results.items())
    assert len({(folder, pid) for _, folder, pid, _ in results.values()}) == 2
    assert {threads for *_, threads in results.values()} == {1}
    logs = [path.read_text().split("\n") for path in tmp_path.glob("*/log.txt")]
    assert sorted(line for log in logs for line in log if line) == tasks
    assert list(done([], tmp_path)) == []


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        ("refuse x", InputError, "refuse x: the value is 1; use 2"),
        ("break y", TaskError, "break y: KeyError: 'y'; see .*log.txt"),
        ("die z", TaskError, "die z: its process ended with status .*fewer processes"),
    ],
)
def test_a_failure_names_the_task(
    task: str, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    found = []
    with pytest.raises(kind, match=message):
        for answered, _ in done(["task 1", task, "sleep 60"], tmp_path, processes=1):
            found.append(answered)
    assert found == ["task 1"]


def test_no_process_outlives_the_caller(tmp_path: Path) -> None:
    start = time.monotonic()
    running = done(["task 1", "sleep 60", "sleep 60"], tmp_path)
    _, (_, _, pid, _) = next(running)
    running.close()
    assert time.monotonic() - start < 50
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
