"""Runs the project's scripts in processes of their own, forked from one that has imported.

Importing PyTorch and Detectron2 takes longer than some of what the scripts do.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pading.engine.trainer", "pading.evaluation.evaluators"])


def start_script(
    command: list[str], log: Path | None = None
) -> multiprocessing.process.BaseProcess:
    """Start a script as ``python SCRIPT ARGUMENTS`` would.

    Args:
        command: the script and its arguments.
        log: file to which what it prints is added; None: it goes where this process's goes.
    """
    # The forked process has the variables that were set when the first was forked.
    arguments = (command, log, dict(os.environ))
    process = PROCESSES.Process(target=_run_as_main, args=arguments)
    process.start()
    return process


def _run_as_main(command: list[str], log: Path | None, environment: dict[str, str]) -> None:
    # A fork server that pading.engine.launch has started ignores it, and so would what it forks.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(environment)
    if log is not None:
        with open(log, "a", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    sys.argv = command
    sys.path[0] = str(Path(command[0]).parent)
    runpy.run_path(command[0], run_name="__main__")
