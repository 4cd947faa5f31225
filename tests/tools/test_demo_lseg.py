"""LSeg's demo on a few synthetic scenes, by its own sequence of commands."""

import json
import runpy
from pathlib import Path

import demo_lseg
import pytest

from tests.runs import run

TINY = ("MODEL.CONVNET.WIDTHS", "[6,8,8,10]", "MODEL.CONVNET.DEPTH", 1, "MODEL.LSEG.CHANNELS", 8)
TINY += ("SOLVER.IMS_PER_BATCH", 2, "SOLVER.MAX_ITER", 3, "SOLVER.WARMUP_ITERS", 1)


def test_table_and_pictures(
    tiny_scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def run_here(script: Path, *arguments: object) -> None:
        if script.stem != "prepare_shapes":
            run(lambda: runpy.run_path(str(script), run_name="__main__"), *arguments)

    monkeypatch.setattr(demo_lseg, "run", run_here)
    output = ("--output", tmp_path, "--scenes", 1, "--control")
    run(demo_lseg.main, *output, *TINY, "MODEL.DEVICE", "cpu")
    results = json.loads((tmp_path / "results.json").read_text())
    for name in ("after_one_step", "after_training", "random_vectors"):
        assert {"all", "seen", "unseen", "harmonic"} <= set(results[name]), results[name]
    assert (tmp_path / "scenes.png").stat().st_size > 1000
    assert "mIoU" in capsys.readouterr().out
