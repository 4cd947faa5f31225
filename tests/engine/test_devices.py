"""What only a GPU would show, found without one."""

import os
import subprocess
import sys

import pytest
from torch.utils import backend_registration

from tests.runs import ROOT


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch has no devices written in Python",
)
def test_both_stages_train_and_predict_on_a_pretend_gpu() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.steps_on_a_gpu"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("done\n")
