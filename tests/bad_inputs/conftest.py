"""A fresh good world for every row."""

from pathlib import Path

import numpy as np
import pytest

from tests.bad_inputs.world import World


@pytest.fixture
def world(tmp_path: Path, seed: int) -> World:
    """Nothing is wrong with it yet."""
    return World(tmp_path / "world", np.random.default_rng(seed))
