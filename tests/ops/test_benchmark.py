"""The benchmark runs, and what it measures of memory stays within bounds."""

import json
import subprocess
import sys
from pathlib import Path

import pading_ops
import pytest
import torch
from pading_ops.peak_memory import measure_peaks
from pading_ops.settings import DTYPES

# A published kernel's interface over the plain version.
_OTHER = """
import torch
from pading_ops import ms_deform_attn_reference
def ms_deform_attn_forward(value, shapes, starts, locations, weights, im2col_step):
    return ms_deform_attn_reference(value, shapes, starts, locations, weights)
def ms_deform_attn_backward(value, shapes, starts, locations, weights, grad_output, im2col_step):
    leaves = [t.detach().requires_grad_() for t in (value, locations, weights)]
    with torch.enable_grad():
        output = ms_deform_attn_reference(leaves[0], shapes, starts, leaves[1], leaves[2])
    return torch.autograd.grad(output, leaves, grad_output)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("used", [1, 2, 8])
def test_peak_memory_of_the_cpu(used: int) -> None:
    """Forward + backward on any number of threads: a tenth more than the tensors themselves."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(used)
        peaks = measure_peaks("cpu", ["1024"], list(DTYPES))
    finally:
        torch.set_num_threads(threads)
    assert [peak.dtype for peak in peaks] == list(DTYPES)
    for peak in peaks:
        # Not below the tensors either: then it would not be the peak that is measured.
        assert 0.99 * peak.tensors <= peak.used <= 1.1 * peak.tensors, peak


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_kernel.py").write_text(_OTHER)
    folders = (str(tmp_path), str(Path(pading_ops.__file__).parents[1]))
    monkeypatch.setenv("PYTHONPATH", ":".join(folders))
    monkeypatch.setenv("PADING_OPS_COMPARE", "other_kernel")
    command = [sys.executable, "-m", "pading_ops.benchmark", "--settings", "demo", "--json"]
    command += ["--repeats", "1", "--no-compile"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    contenders = {row["contender"] for row in report["results"]}
    assert contenders == {"plain", "other_kernel", *(f"pading_ops {dtype}" for dtype in DTYPES)}
    assert {row["work"] for row in report["results"]} == {"forward", "forward + backward"}
    for row in report["results"]:
        assert 0 < row["fastest"] <= row["median"] <= row["slowest"]
    assert all(peak["used"] > 0 for peak in report["peak_memory"])
