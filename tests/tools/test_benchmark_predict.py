"""tools/benchmark_predict.py: images enough, and the memory of the processes below one."""

import os
import subprocess
import sys
from pathlib import Path

import benchmark_predict
import numpy as np
from PIL import Image


def test_images_are_linked_until_there_are_enough(tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    for name in ("a.png", "b.jpg"):
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "few" / name)
    folder = benchmark_predict.linked(tmp_path / "few", tmp_path / "many", 5)
    paths = sorted(folder.iterdir())
    assert [p.resolve().name for p in paths] == ["a.png", "b.jpg", "a.png", "b.jpg", "a.png"]


def test_memory_of_what_a_process_starts() -> None:
    """A process that a process of this one starts holds 50 MiB."""
    inner = "import sys; held = bytearray(50 << 20); print(1, flush=True); sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", outer], **pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 50 < max(benchmark_predict._resident(os.getpid())) < 4000
        assert 50 < max(benchmark_predict._resident(process.pid)) < 120
        process.communicate(b"")
