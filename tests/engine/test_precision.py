"""SOLVER.AMP: which type of mixed precision a device gets."""

import pytest
import torch

import pading
from pading.engine.precision import amp_dtype
from pading.errors import InputError
from tests.runs import ROOT


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


def test_an_unknown_type_is_refused_even_where_it_is_not_used() -> None:
    cfg = pading.load_config(str(ROOT / "configs/shapes/PADing.yaml"))
    cfg.SOLVER.AMP.DTYPE = "int8"
    with pytest.raises(InputError, match="SOLVER.AMP.DTYPE is 'int8'"):
        amp_dtype(cfg)
