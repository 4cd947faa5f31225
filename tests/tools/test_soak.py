"""A small version of ``make soak``: the narrowest model, a few strikes."""

import random
from pathlib import Path

import pytest
import soak
import torch

from tests.runs import TINY, UNSCORED


@pytest.mark.slow
def test_runs_survive_what_strikes_them(tiny_scenes: Path, tmp_path: Path, seed: int) -> None:
    pairs = [part for pair in TINY.items() for part in pair]
    more = ("SOLVER.MAX_ITER", 30, "SOLVER.CHECKPOINT_PERIOD", 3, *UNSCORED)
    soak.soak_both_stages(tmp_path, [*pairs, *more], kills=2, moments=random.Random(seed))


def test_a_changed_bit_is_found(tmp_path: Path, seed: int) -> None:
    paths = tmp_path / "one.pth", tmp_path / "two.pth"
    weights = torch.randn(5)
    for path in paths:
        torch.save({"model": {"a": weights, "b": weights}}, path)
        weights = weights.nextafter(torch.tensor(9.0))
    soak.assert_same(paths[0], paths[0])
    with pytest.raises(SystemExit, match="differ in 2"):
        soak.assert_same(*paths)
