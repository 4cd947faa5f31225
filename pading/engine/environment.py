"""What of the machine can be wrong, found out before long work starts."""

import tempfile
from pathlib import Path

import torch

from pading.errors import InputError


def check_num_gpus(num_gpus: int, on_cpu: bool = False) -> None:
    """Refuse ``--num-gpus`` of more processes than GPUs; 0 and 1 need none (the CPU serves).

    Args:
        num_gpus: the option.
        on_cpu: the command asks for the CPU, where as many processes as wanted can run.

    Raises:
        InputError: negative, or more than one and more than there are.
    """
    available = torch.cuda.device_count()
    if num_gpus < 0:
        raise InputError(f"--num-gpus {num_gpus}: give 0 or more")
    if not on_cpu and num_gpus > max(available, 1):
        remedy = (
            f"give --num-gpus {available} or less; CUDA_VISIBLE_DEVICES may hide some"
            if available
            else "leave --num-gpus out to run on the CPU, or add MODEL.DEVICE cpu for so many "
            "processes there; if there is a GPU, PyTorch or its driver does not see it"
        )
        raise InputError(f"--num-gpus {num_gpus}: PyTorch sees {available} CUDA devices; {remedy}")


def check_device(device: str, processes: int = 1) -> None:
    """Refuse a GPU that is not there, or that several processes would share.

    Args:
        device: MODEL.DEVICE.
        processes: that run on it; each of several takes a GPU of its own.

    Raises:
        InputError: MODEL.DEVICE is no device, a GPU that PyTorch does not see, or one by its number
            for several processes.
    """
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise InputError(
            f"MODEL.DEVICE is {device!r}; use 'cuda', 'cuda:1', ... or 'cpu'"
        ) from error
    if wanted.type not in ("cpu", "cuda"):
        raise InputError(
            f"MODEL.DEVICE is {device!r}; pading runs on 'cpu' and on GPUs that PyTorch calls "
            "'cuda': its own operator has no kernel for others"
        )
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"MODEL.DEVICE is {device!r}, but PyTorch sees no GPU; use MODEL.DEVICE cpu"
        )
    if wanted.type == "cuda" and wanted.index is not None and processes > 1:
        raise InputError(
            f"MODEL.DEVICE is {device!r}, but {processes} processes take a GPU each; "
            "use MODEL.DEVICE cuda, and CUDA_VISIBLE_DEVICES to choose GPUs"
        )
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"MODEL.DEVICE is {device!r}, but PyTorch sees {torch.cuda.device_count()} GPUs; "
            f"use one of 'cuda:0' to 'cuda:{torch.cuda.device_count() - 1}'"
        )


def check_output_folder(folder: str | Path, setting: str = "OUTPUT_DIR") -> None:
    """Create the folder that results go to, and try to write there.

    Args:
        folder: the folder.
        setting: the key or option that names it.

    Raises:
        InputError: it, or a parent, cannot be created or written, or is a file.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        raise InputError(
            f"{setting} {folder}: cannot write there ({error.strerror}); name a folder that can "
            f"be written with {setting}, or make room or change its permissions"
        ) from error
