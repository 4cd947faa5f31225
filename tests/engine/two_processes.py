"""Runs a function in one or two gloo processes, forked from one that has imported everything."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from script_processes import PROCESSES

from pading.compat import create_local_process_group


def in_processes(count: int, function: Callable[..., Any], folder: Path, *arguments: Any) -> list:
    """What ``function(*arguments)`` returns in each process; it is importable by its name."""
    rendezvous = folder / f"rendezvous{count}"
    outputs = [folder / f"returned{rank}of{count}.pth" for rank in range(count)]
    workers = [
        PROCESSES.Process(
            target=_work,
            # The forked process has the variables that were set when the first was forked.
            args=(dict(os.environ), rank, count, rendezvous, outputs[rank], function, arguments),
        )
        for rank in range(count)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    errors = [path.with_suffix(".txt") for path in outputs]
    messages = [path.read_text() for path in errors if path.exists()]
    codes = [worker.exitcode for worker in workers]
    assert codes == [0] * count, "\n".join([f"exit codes {codes}", *messages])
    return [torch.load(path, weights_only=True) for path in outputs]


def _work(
    environment: dict[str, str],
    rank: int,
    count: int,
    rendezvous: Path,
    output: Path,
    function: Callable[..., Any],
    arguments: tuple,
) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        if count > 1:
            torch.distributed.init_process_group(
                "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=count
            )
            create_local_process_group(count)
        torch.save(function(*arguments), output)
    finally:
        # Not to wait for the other process when this one has failed.
        if sys.exc_info()[0]:
            output.with_suffix(".txt").write_text(traceback.format_exc())
            os._exit(1)
