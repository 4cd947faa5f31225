"""ZegCLIP's demo on a few synthetic scenes, by its own sequence of commands."""

import functools
import json
import runpy
from pathlib import Path

import demo_zegclip
import pytest
import shapes_clip

from pading.data.shapes.generation import ShapesSettings
from tests.runs import run

TINY = ("SOLVER.IMS_PER_BATCH", 2, "SOLVER.MAX_ITER", 4, "SOLVER.WARMUP_ITERS", 1)


def test_table_and_pictures(
    tiny_scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def run_here(script: Path, *arguments: object) -> None:
        if script.stem != "prepare_shapes":
            run(lambda: runpy.run_path(str(script), run_name="__main__"), *arguments)

    few = functools.partial(shapes_clip.train, pictures=8, batch=4)
    monkeypatch.setattr(shapes_clip, "accuracy", functools.partial(shapes_clip.accuracy, each=1))
    monkeypatch.setattr(demo_zegclip, "run", run_here)
    monkeypatch.setattr(demo_zegclip, "_SCENES", ShapesSettings(seed=11, train=1, val=4))
    monkeypatch.setattr(shapes_clip, "train", few)
    output = ("--output", tmp_path, "--scenes", 1, "--control")
    run(demo_zegclip.main, *output, *TINY, "MODEL.DEVICE", "cpu")
    results = json.loads((tmp_path / "results.json").read_text())
    for name in ("inductive", "transductive", "random_vectors"):
        assert {"all", "seen", "unseen", "harmonic"} <= set(results[name]), results[name]
    assert (tmp_path / "scenes.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "mIoU" in printed and "zero-shot accuracy" in printed
