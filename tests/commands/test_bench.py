"""pading bench: shared stages are trained once, nothing twice, and the table is of the scores."""

import json
import os
from pathlib import Path

import pytest
import yaml

from pading.bench import cells
from pading.commands import bench
from pading.errors import InputError
from pading.files import read_json
from pading.tuning import pretence
from pading.tuning.choosing import GRID
from tests.runs import TINY, run


def plan_file(folder: Path) -> Path:
    first = {"config": "shapes/pretrain", "SOLVER.MAX_ITER": 1, "DATASETS.TEST": [], "SEED": 1}
    second = {"config": "shapes/PADing"}
    wide = {"MODEL.ZERO_SHOT.BACKBONE_FEATURES": ["res4"]}
    rows = {
        "words": {"stages": [first, second]},
        "shuffled": {"vectors": "shuffled", "stages": [first, {**second, "SEED": 1, **wide}]},
        "tuned": {"tune": True, "stages": [first, {**second, "SEED": 1}]},
    }
    path = folder / "plan.yaml"
    plan = {"seeds": [1, 2], "settings": TINY, "rows": rows}
    path.write_text(yaml.safe_dump(plan, sort_keys=False))
    return path


def test_a_table_of_cells_that_run_once(
    tiny_scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(pretence, "LEAST_IMAGES", 2)
    for key, values in GRID.items():
        monkeypatch.setitem(GRID, key, values[:1])
    plan, output = plan_file(tmp_path), tmp_path / "out"
    run(bench.main, plan, "--output", output)
    assert "| words " in capsys.readouterr().out
    names = sorted(path.name.partition("_")[0] for path in (output / "runs").glob("*/"))
    assert names.count("pretrain") == 1, "all rows begin alike"
    assert names.count("PADing") == 4, "one of each row, and another seed of the first"
    stores = [*output.glob("runs/pretrain_*/store_*/header.json")]
    assert len(stores) == 2, "seeds share it, what looks at the backbone does not"
    assert len([*output.glob("runs/PADing_*/tuning/chosen.yaml")]) == 1
    content = json.loads((output / "results.json").read_text())
    found: dict[str, list[float]] = {}
    for cell in content["cells"]:
        scores = read_json(cell["scores"])["metrics"]["panoptic_seg"]
        assert cell["figures"]["PQ seen"] == scores["PQ_seen"]
        found.setdefault(cell["row"], []).append(scores["PQ_seen"])
    for row, (one, other) in found.items():
        assert content["rows"][row]["PQ seen"]["mean"] == pytest.approx((one + other) / 2)
    for name in ("table.md", "table.tex", "table.png"):
        assert (output / name).stat().st_size
    monkeypatch.setattr(cells.Runs, "_run", None)
    run(bench.main, plan, "--output", output)
    assert json.loads((output / "results.json").read_text()) == content


def test_a_cell_that_fails_is_named_after_the_others(
    tiny_scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def fail(*_: object) -> None:
        raise InputError("no disk")

    monkeypatch.setattr(cells.Runs, "_run", fail)
    with pytest.raises(SystemExit):
        run(bench.main, plan_file(tmp_path), "--output", tmp_path / "out")
    captured = capsys.readouterr()
    assert "words, seed 1 failed: no disk" in captured.out
    assert "6 cells failed, the first is words, seed 1: no disk" in captured.err


def test_what_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"

    def can_be_had() -> bool:
        if (child := os.fork()) == 0:
            with cells._alone(lock) as alone:
                os._exit(alone)
        return bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    with cells._alone(lock) as alone:
        assert alone
        assert not can_be_had()
    assert can_be_had()
