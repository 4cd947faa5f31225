"""The package without its extension and with a broken one; that the CUDA sources compile."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pading_ops
import pytest
import torch
from torch.utils import cpp_extension

_SOURCES = Path(__file__).resolve().parents[2] / "ops" / "csrc"


@pytest.fixture
def package_copy(tmp_path: Path) -> Path:
    """A folder with pading_ops as built with BUILD_OPS=0."""
    package = Path(pading_ops.__file__).parent
    shutil.copytree(package, tmp_path / "pading_ops", ignore=shutil.ignore_patterns("*.so"))
    return tmp_path


def _run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


# The finder of an editable install would find the extension that the copy leaves out.
_CALL = """
import sys
sys.meta_path[:] = [f for f in sys.meta_path if not f.__module__.startswith("__editable__")]
import torch, pading_ops
shapes, starts = torch.tensor([[2, 2]]), torch.tensor([0])
value, x, w = torch.rand(1, 4, 1, 3), torch.rand(1, 2, 1, 1, 1, 2), torch.ones(1, 2, 1, 1, 1)
for _ in range(2):
    output = pading_ops.ms_deform_attn(value, shapes, starts, x, w)
assert torch.equal(output, pading_ops.ms_deform_attn_reference(value, shapes, starts, x, w))
print(pading_ops.HAS_EXTENSION, pading_ops.__file__)
"""


def test_without_the_extension(package_copy: Path) -> None:
    run = _run(_CALL, package_copy)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"False {package_copy}")
    assert run.stderr.count("built without its extension") == 1


def test_a_broken_extension_is_an_error(package_copy: Path) -> None:
    (package_copy / "pading_ops" / "_C.abi3.so").write_bytes(b"not a library")
    run = _run(_CALL, package_copy)
    assert run.returncode != 0
    assert "ImportError" in run.stderr and "_C.abi3.so" in run.stderr


@pytest.mark.parametrize("named", [True, False], ids=["CUDA_HOME", "PATH"])
def test_a_compiler_that_does_not_run(named: bool, tmp_path: Path) -> None:
    if torch.version.cuda is None:
        pytest.skip("this PyTorch is built without CUDA")
    for name, content in (("bin/nvcc", "#!/bin/sh\nexit 1\n"), ("include/cuda_runtime.h", "")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    (tmp_path / "bin" / "nvcc").chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k not in ("CUDA_HOME", "CUDA_PATH")}
    environment |= {"CUDA_HOME": str(tmp_path)} if named else {}
    environment |= {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "BUILD_CUDA": "1"}
    run = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=_SOURCES.parents[1],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.stderr.splitlines()[-1] == (
        f"setup.py: BUILD_CUDA=1, but {tmp_path / 'bin' / 'nvcc'} does not run"
    ), run.stderr


@pytest.mark.slow
def test_cuda_sources_compile(tmp_path: Path) -> None:
    """Either the build compiled them, or they are compiled here, for the oldest GPU we name."""
    if torch._C._dispatch_has_kernel_for_dispatch_key("pading_ops::ms_deform_attn", "CUDA"):
        return
    home = cpp_extension.CUDA_HOME
    nvcc = shutil.which("nvcc", path=home and os.path.join(home, "bin"))
    if nvcc is None:
        pytest.skip("no CUDA compiler (nvcc) here")
    for source in sorted(_SOURCES.glob("cuda/*.cu")):
        target = tmp_path / f"{source.stem}.o"
        command = [nvcc, "-std=c++17", "-arch=sm_80", "-c", str(source), "-o", str(target)]
        subprocess.run(command, check=True)
