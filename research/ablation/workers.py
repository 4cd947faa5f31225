"""Tasks in processes of their own, as many at a time as there are processes."""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from pading.errors import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")


class TaskError(RuntimeError):
    """A task failed in its process; the message names the task."""


class _Failure(NamedTuple):
    message: str
    is_input_error: bool


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_in_processes(
    work: Callable[[Task, Path], Result],
    tasks: Iterable[Task],
    folder: Path,
    *,
    context: ForkServerContext | SpawnContext,
    processes: int,
    threads: int,
    at_work: Callable[[Sequence[Task]], None] = lambda tasks: None,
) -> Iterator[tuple[Task, Result]]:
    """Run tasks, and give their results as they come.

    A task is taken when a process is free for it. When the caller stops iterating, or a task fails,
    the processes are ended.

    Args:
        work: done in the processes, each with a copy of its own: a task and the process's folder to
            its result. All three are pickled.
        tasks: what to do, in this order.
        folder: every process gets a folder below it, where what it prints is in ``log.txt``.
        context: starts processes that share no state of CUDA or OpenMP with this one.
        processes: how many.
        threads: that PyTorch uses in each.
        at_work: called with the tasks that have begun, whenever these change.

    Raises:
        InputError: a task raised it.
        TaskError: a task raised something else, or its process was killed.
    """
    left = iter(tasks)
    started: list[BaseProcess] = []
    busy: dict[Connection, tuple[BaseProcess, Task]] = {}
    try:
        for number in range(processes):
            task = next(left, None)
            if task is None:
                break
            mine, theirs = context.Pipe()
            place = folder / str(number)
            place.mkdir(parents=True, exist_ok=True)
            arguments = (theirs, work, place, threads, dict(os.environ))
            process: BaseProcess = context.Process(target=_serve, args=arguments)
            process.start()
            started.append(process)
            theirs.close()  # so that the end of the process is the end of the connection
            mine.send(task)
            busy[mine] = process, task
        while busy:
            at_work([task for _, task in busy.values()])
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                its, task = busy.pop(connection)
                result = _received(connection, its, task, folder)
                following = next(left, None)
                if following is not None:
                    connection.send(following)
                    busy[connection] = its, following
                yield task, result
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.join(10)
            process.kill()
            process.join()


def _received(connection: Connection, process: BaseProcess, task: Any, folder: Path) -> Any:
    try:
        answer = connection.recv()
    except (EOFError, ConnectionResetError) as error:
        process.join(5)
        raise TaskError(
            f"{task}: its process ended with status {process.exitcode} (killed, perhaps for lack "
            f"of memory: use fewer processes); what it said is in {folder}"
        ) from error
    if isinstance(answer, _Failure):
        raise (InputError if answer.is_input_error else TaskError)(f"{task}: {answer.message}")
    return answer


def _serve(
    connection: Connection,
    work: Callable[[Any, Path], Any],
    folder: Path,
    threads: int,
    environment: dict[str, str],
) -> None:
    """What a process does: tasks, until there are no more or its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends this one
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # One that was forked has the variables that were set when the first was forked.
    os.environ.update(environment)
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    logging.disable(logging.INFO)
    torch.set_num_threads(threads)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            answer = work(task, folder)
        except Exception as error:  # noqa: BLE001 (whatever it is, the parent says of which task)
            traceback.print_exc()
            known = isinstance(error, InputError)
            message = str(error) if known else f"{type(error).__name__}: {error}"
            answer = _Failure(message if known else f"{message}; see {folder}/log.txt", known)
        try:
            connection.send(answer)
        except BrokenPipeError:
            return
