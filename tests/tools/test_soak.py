"""A small version of ``make soak``: the narrowest model, a few strikes."""

import random
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import soak
import torch

from tests.runs import TINY, UNSCORED


@pytest.mark.slow
def test_runs_survive_what_strikes_them(tiny_scenes: Path, tmp_path: Path, seed: int) -> None:
    pairs = [part for pair in TINY.items() for part in pair]
    more = ("SOLVER.MAX_ITER", 30, "SOLVER.CHECKPOINT_PERIOD", 3, *UNSCORED)
    soak.soak_both_stages(tmp_path, [*pairs, *more], kills=2, moments=random.Random(seed))


def test_runs_that_no_signal_stops_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    done = SimpleNamespace(is_alive=lambda: False, join=lambda: None, exitcode=0)
    monkeypatch.setattr(soak, "start", lambda words, log: done)
    monkeypatch.setattr(soak.time, "sleep", lambda seconds: None)
    with pytest.raises(SystemExit, match="20 runs finished in spite of SIGTERM"):
        soak.soak("PADing", tmp_path, (), signal.SIGTERM, 2, 1.0, random.Random(seed))


def test_a_changed_bit_is_found(tmp_path: Path, seed: int) -> None:
    paths = tmp_path / "one.pth", tmp_path / "two.pth"
    weights = torch.randn(5)
    for path in paths:
        torch.save({"model": {"a": weights, "b": weights}}, path)
        weights = weights.nextafter(torch.tensor(9.0))
    soak.assert_same(paths[0], paths[0])
    with pytest.raises(SystemExit, match="differ in 2"):
        soak.assert_same(*paths)
