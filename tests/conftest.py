"""Fixtures of every test: fresh but reproducible randomness, and the optional reference data."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from pading.compat import detectron2_version_line

_SEED_VARIABLE = "PADING_TEST_SEED"
_SHARED_VARIABLE = "PADING_SHARED"


def pytest_report_header() -> str:
    """Every test run says which Detectron2 it ran on."""
    return detectron2_version_line()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A fresh seed, shown when the test fails; PADING_TEST_SEED repeats it."""
    value = int(os.environ.get(_SEED_VARIABLE) or random.SystemRandom().randrange(2**31))
    print(f"\nseed of {request.node.nodeid}: {value} (repeat with {_SEED_VARIABLE}={value})")
    torch.manual_seed(value)
    np.random.seed(value)
    random.seed(value)
    return value


@pytest.fixture
def rng(seed: int) -> torch.Generator:
    """A torch generator with the test's fresh seed."""
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the project; the test is skipped where it is absent."""
    default = Path(__file__).resolve().parents[1].parent / "shared"
    path = Path(os.environ.get(_SHARED_VARIABLE) or default)
    if not path.is_dir():
        pytest.skip(f"no reference data at {path} (set {_SHARED_VARIABLE} where it is elsewhere)")
    return path
