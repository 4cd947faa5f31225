"""Learning rates over a run."""

import pytest
import torch
from detectron2.config import get_cfg

from pading.config import add_pading_config
from pading.engine.schedules import build_schedule
from pading.errors import InputError


def rates(**solver: object) -> list[float]:
    """The rate of every iteration, of a base of 2."""
    cfg = get_cfg()
    add_pading_config(cfg)
    for key, value in solver.items():
        cfg.SOLVER[key] = value
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = build_schedule(cfg, optimizer)
    found = []
    for _ in range(cfg.SOLVER.MAX_ITER):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_polynomial() -> None:
    found = rates(LR_SCHEDULER_NAME="WarmupPolyLR", MAX_ITER=8, WARMUP_ITERS=0, POLY_LR_POWER=0.5)
    assert found == pytest.approx([2 * (1 - i / 8) ** 0.5 for i in range(8)])


def test_polynomial_with_a_warm_up() -> None:
    warm_up = {"WARMUP_ITERS": 4, "WARMUP_FACTOR": 0.0, "WARMUP_METHOD": "linear"}
    found = rates(LR_SCHEDULER_NAME="WarmupPolyLR", MAX_ITER=8, POLY_LR_POWER=1.0, **warm_up)
    assert found == pytest.approx([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25])


def test_polynomial_of_zegclip() -> None:
    warm_up = {"WARMUP_ITERS": 5, "WARMUP_FACTOR": 1e-6, "WARMUP_METHOD": "product"}
    found = rates(LR_SCHEDULER_NAME="WarmupPolyLR", MAX_ITER=9, POLY_LR_END=0.005, **warm_up)
    decay = [(2 - 0.01) * (1 - t / 9) ** 0.9 + 0.01 for t in range(9)]
    rise = [1 - (1 - min(t / 5, 1)) * (1 - 1e-6) for t in range(9)]
    assert found == pytest.approx([a * b for a, b in zip(decay, rise, strict=True)])
    with pytest.raises(InputError, match="'product', which WarmupCosineLR has not"):
        rates(LR_SCHEDULER_NAME="WarmupCosineLR", WARMUP_METHOD="product")


def test_the_others_are_detectron2s() -> None:
    found = rates(LR_SCHEDULER_NAME="WarmupMultiStepLR", MAX_ITER=4, STEPS=(2,), WARMUP_ITERS=0)
    assert found == pytest.approx([2, 2, 0.2, 0.2])
