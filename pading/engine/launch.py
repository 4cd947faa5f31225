"""From one command to the processes that do its work.

Three ways, by what is found: torchrun's environment variables (one process per command, several
machines too); ``--num-gpus`` with GPUs, which is Detectron2's launcher; and ``--num-gpus`` with
MODEL.DEVICE cpu, which starts as many processes that talk through gloo. Detectron2 v0.6's launcher
demands CUDA, hence the last; torchrun in its place would end a stopped run with its own status, 1,
instead of the 75 that asks for --resume.
"""

import argparse
import errno
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import forkserver
from types import FrameType
from urllib.parse import urlsplit

import torch
from detectron2.engine import launch as launch_on_gpus
from detectron2.utils import comm
from torch import distributed
from torch.multiprocessing import ProcessExitedException, start_processes

from pading.compat import create_local_process_group
from pading.errors import InputError, exit_on_input_error

_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# How long processes wait for each other. On a CPU the last shard of a store can take hours; gloo
# notices at once when a process ends.
_TIMEOUTS = {"nccl": timedelta(minutes=30), "gloo": timedelta(days=1)}


def under_torchrun() -> bool:
    """Whether torchrun started this process as one of several.

    Raises:
        InputError: only some of its variables are set.
    """
    if not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        return False
    missing = [name for name in _TORCHRUN if name not in os.environ]
    if missing:
        raise InputError(
            f"environment: RANK and WORLD_SIZE are set, but {', '.join(missing)} not; start the "
            "processes with torchrun, or unset all of them"
        )
    return True


def num_processes(args: argparse.Namespace) -> int:
    """How many processes the work will have."""
    if under_torchrun():
        return int(os.environ["WORLD_SIZE"])
    return max(args.num_gpus, 1) * args.num_machines


def launch(main: Callable[..., None], args: argparse.Namespace, device: str, work: tuple) -> None:
    """Run ``main(*work)`` in every process; exit with the status of the first that fails.

    Signals that ask this process to stop are passed on to those that it started.

    Args:
        main: importable by its name.
        args: of Detectron2's parser: num_gpus, num_machines, machine_rank, dist_url.
        device: MODEL.DEVICE.
        work: picklable.

    Raises:
        InputError: the processes cannot meet, or torchrun and --num-gpus are both given.
    """
    if under_torchrun():
        if args.num_gpus > 1 or args.num_machines > 1:
            raise InputError(
                "--num-gpus, --num-machines: torchrun has started the processes already; leave "
                "these out"
            )
        local = (int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]))
        _join(device, "env://", (-1, -1), local)
        _finish(main, work)
        return
    processes = args.num_gpus * args.num_machines
    if processes <= 1:
        main(*work)
        return
    url = _free_url(args.dist_url, args.num_machines)
    try:
        with signals_passed_on():
            if device == "cpu":
                # Forked from a process that has imported everything, once.
                multiprocessing.set_forkserver_preload([__name__, main.__module__])
                _start_fork_server()
                place = (url, args.num_gpus, processes, args.machine_rank)
                start_processes(
                    _worker,
                    (dict(os.environ), main, work, *place),
                    nprocs=args.num_gpus,
                    start_method="forkserver",
                )
            else:
                launch_on_gpus(
                    _quietly,
                    args.num_gpus,
                    num_machines=args.num_machines,
                    machine_rank=args.machine_rank,
                    dist_url=url,
                    args=(main, work),
                )
    except ProcessExitedException as error:
        if error.exit_code > 0:  # it has said why
            sys.exit(error.exit_code)
        raise


def _start_fork_server() -> None:
    """Start it such that SIGTERM to all processes, which Slurm sends, leaves it alone.

    Without it, how its processes ended would be lost.
    """
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGTERM, before)


def _worker(
    local_rank: int,
    environment: dict[str, str],
    main: Callable[..., None],
    work: tuple,
    url: str,
    per_machine: int,
    processes: int,
    machine: int,
) -> None:
    """One of the processes on a CPU."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which the fork server ignores
    rank = machine * per_machine + local_rank
    os.environ.update(environment)
    _join("cpu", url, (rank, processes), (local_rank, per_machine))
    _quietly(main, work)


def _quietly(main: Callable[..., None], work: tuple) -> None:
    exit_on_input_error(lambda: _finish(main, work))


def _finish(main: Callable[..., None], work: tuple) -> None:
    main(*work)
    if distributed.is_initialized():
        comm.synchronize()
        distributed.destroy_process_group()


def _join(device: str, url: str, place: tuple[int, int], local: tuple[int, int]) -> None:
    """Meet the other processes.

    Args:
        place: rank and number of processes; -1: the environment says.
        local: the same on this machine.
    """
    (rank, processes), (local_rank, per_machine) = place, local
    if device != "cpu":
        if local_rank >= torch.cuda.device_count():
            raise InputError(
                f"process {local_rank} of {per_machine} on this machine has no GPU: PyTorch sees "
                f"{torch.cuda.device_count()}; start as many processes (torchrun's "
                "--nproc-per-node), or add MODEL.DEVICE cpu"
            )
        torch.cuda.set_device(local_rank)
    backend = "gloo" if device == "cpu" else "nccl"
    try:
        distributed.init_process_group(
            backend,
            init_method=url,
            rank=rank,
            world_size=processes,
            timeout=_TIMEOUTS[backend],
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"the processes cannot meet at {url}: {str(error).splitlines()[0]}; check --dist-url "
            "(or torchrun's --rdzv-endpoint) and that its port is free"
        ) from error
    create_local_process_group(per_machine)
    comm.synchronize()


def _free_url(url: str, machines: int) -> str:
    """Where the processes meet, if its port is free; "auto" finds one."""
    if machines > 1:
        return url
    try:
        port = 0 if url == "auto" else urlsplit(url).port
    except ValueError as error:
        raise InputError(
            f"--dist-url {url}: {error}; give one such as tcp://127.0.0.1:50000, or auto"
        ) from error
    if port is None:
        return url
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise InputError(
                f"--dist-url {url}: its port is taken, perhaps by another run; give another one, "
                "or --dist-url auto"
            ) from error
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}" if url == "auto" else url


@contextmanager
def signals_passed_on() -> Iterator[None]:
    """SIGTERM and SIGINT go to the processes that this one waits for."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, number)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
