"""What the rules choose on machines that the tests do not run on."""

from dataclasses import replace
from typing import Any

import pytest

from pading.config import load_config
from pading.projects.layout import base_of, systems
from pading.projects.rules import Facts, choices

LAPTOP = Facts(
    images=500,
    height=480,
    width=640,
    gpu_memory=0,
    bfloat16=False,
    processes=1,
    cores=2,
    small=True,
    first=True,
)
GPU = replace(LAPTOP, gpu_memory=24, bfloat16=True, cores=16, small=False)


def chosen(facts: Facts, given: dict[str, Any] | None = None) -> dict[str, Any]:
    cfg = load_config(base_of("pading", systems()["pading"][0]))
    return {choice.key: choice.value for choice in choices(cfg, given or {}, facts)}


def test_a_laptop() -> None:
    found = chosen(LAPTOP)
    assert found["INPUT.IMAGE_SIZE"] == 256
    assert found["INPUT.MIN_SIZE_TEST"] == 256 * 480 // 640
    assert found["SOLVER.IMS_PER_BATCH"] == 4
    assert found["SOLVER.MAX_ITER"] == 1000, "50 epochs were 6250"
    assert found["DATALOADER.NUM_WORKERS"] == 0
    assert "SOLVER.AMP.DTYPE" not in found


@pytest.mark.parametrize(
    ("memory", "processes", "batch"), [(24, 1, 8), (80, 1, 16), (3, 1, 1), (24, 4, 16)]
)
def test_what_a_gpu_holds(memory: float, processes: int, batch: int) -> None:
    """4 GB for 1024 x 1024: 1.6 GB for 640 x 640, in four fifths of the memory."""
    found = chosen(replace(GPU, gpu_memory=memory, processes=processes))
    assert found["INPUT.IMAGE_SIZE"] == 640
    assert found.get("SOLVER.IMS_PER_BATCH") == batch
    assert found.get("SOLVER.REFERENCE_BATCH", 16) == 16
    assert found["SOLVER.AMP.DTYPE"] == "bfloat16"
    assert found["SOLVER.MAX_ITER"] == max(2000, -(-50 * 500 // batch))
    assert found["DATALOADER.NUM_WORKERS"] == 8


def test_what_is_given_counts_and_others_follow() -> None:
    found = chosen(GPU, {"SOLVER.IMS_PER_BATCH": 2, "INPUT.IMAGE_SIZE": 320, "SOLVER.STEPS": []})
    assert not {"SOLVER.IMS_PER_BATCH", "INPUT.IMAGE_SIZE", "SOLVER.STEPS"} & set(found)
    assert found["SOLVER.MAX_ITER"] == 12500
    assert found["INPUT.MAX_SIZE_TEST"] == 640
    assert chosen(replace(GPU, first=False))["SOLVER.MAX_ITER"] > 12500, "as published"
