"""SOLVER.AMP: which type of mixed precision a device gets."""

from pathlib import Path

import pytest
import torch

import pading
from pading.checkpoint.weights import read_weights
from pading.layers.precision import amp_dtype
from tests.runs import FROM_IMAGES, ROOT, UNSCORED, train


@pytest.mark.parametrize(
    ("enabled", "dtype", "device", "expected"),
    [
        (True, "auto", "cuda", torch.float16),
        (True, "auto", "cuda:1", torch.float16),
        (True, "auto", "cpu", None),
        (True, "bfloat16", "cpu", torch.bfloat16),
        (True, "float16", "cpu", torch.float16),
        (False, "float16", "cuda", None),
    ],
)
def test_type_for_a_device(
    enabled: bool, dtype: str, device: str, expected: torch.dtype | None
) -> None:
    cfg = pading.load_config(str(ROOT / "configs/shapes/PADing.yaml"))
    cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.DTYPE, cfg.MODEL.DEVICE = enabled, dtype, device
    assert amp_dtype(cfg) == expected


# The first steps in float16 are left out while the loss's scale is being found.
@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler.step:UserWarning")
@pytest.mark.parametrize("stage", ["pretrain", "PADing"])
def test_a_run_goes_on_in_mixed_precision_and_back(
    stage: str, tiny_scenes: Path, converted: Path, tmp_path: Path
) -> None:
    """As one does that began on a CPU, where "auto" is float32, and goes on on a GPU."""
    options = [*UNSCORED, "SOLVER.AMP.ENABLED", True]
    if stage == "PADing":
        options += [*FROM_IMAGES, "MODEL.WEIGHTS", converted]
    train(stage, tmp_path, *options)
    scales = []
    for iterations, dtype in ((5, "float16"), (7, "float16"), (9, "auto")):
        more = ("SOLVER.AMP.DTYPE", dtype, "SOLVER.MAX_ITER", iterations)
        train(stage, tmp_path, "--resume", *options, *more)
        content = read_weights(tmp_path / "model_final.pth")
        assert content["iteration"] == iterations - 1
        scales.append(content["trainer"]["_trainer"]["grad_scaler"].get("scale"))
    assert scales[0] and scales[1] and scales[2] is None
