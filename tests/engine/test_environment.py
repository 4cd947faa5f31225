"""Machine-related mistakes are named before long work starts."""

import os
from pathlib import Path

import pytest
import torch

from pading.engine.environment import check_device, check_num_gpus, check_output_folder
from pading.errors import InputError


@pytest.mark.parametrize(
    ("available", "asked", "message"),
    [
        (0, 0, None),
        (0, 1, None),
        (0, 2, "--num-gpus 2: PyTorch sees 0 CUDA devices; leave --num-gpus out"),
        (1, 2, "--num-gpus 2: PyTorch sees 1 CUDA devices; give --num-gpus 1 or less"),
        (8, 8, None),
        (8, 9, "--num-gpus 9"),
        (8, -1, "--num-gpus -1: give 0 or more"),
    ],
)
def test_num_gpus(
    available: int, asked: int, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: available)
    if message is None:
        check_num_gpus(asked)
    else:
        with pytest.raises(InputError, match=message):
            check_num_gpus(asked)


def test_output_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_output_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_output_folder_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    for folder in (path, path / "below"):
        with pytest.raises(InputError, match=f"OUTPUT_DIR {folder}: cannot write there"):
            check_output_folder(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_output_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        check_output_folder(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs Linux's proc")
def test_output_folder_on_a_read_only_file_system() -> None:
    with pytest.raises(InputError, match="OUTPUT_DIR /proc/nothing: cannot write there"):
        check_output_folder("/proc/nothing")


@pytest.mark.parametrize("device", ["mps", "mps:0", "xpu", "meta"])
def test_devices_that_the_operator_has_no_kernel_for(device: str) -> None:
    with pytest.raises(InputError, match=f"MODEL.DEVICE is '{device}'; pading runs on 'cpu'"):
        check_device(device)
