"""Plans of benchmarks: what is read of them, and what is refused by name."""

from pathlib import Path

import pytest

from pading.bench.plan import read_plan
from pading.errors import InputError

ROWS = "rows: {a: {stages: [{config: shapes/PADing}]}}"


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(text)
    return path


def test_cells_and_what_counts_more(tmp_path: Path) -> None:
    text = """
seeds: [3, 4]
settings: {SOLVER: {MAX_ITER: 7}, SOLVER.BASE_LR: 0.5}
folds:
  first: {SOLVER.BASE_LR: 0.25}
  second: {}
rows:
  a: {vectors: random, stages: [{config: shapes/pretrain, SEED: 1}, {config: shapes/PADing}]}
  b: {tune: true, stages: [{config: shapes/PADing, SOLVER.MAX_ITER: 9}]}
"""
    cells = list(read_plan(written(tmp_path, text)).cells())
    assert [str(cell) for cell in cells] == [
        f"{row}, {fold}, seed {seed}"
        for seed in (3, 4)
        for fold in ("first", "second")
        for row in "ab"
    ]
    stage1, stage2 = cells[0].row.stages
    assert cells[0].pairs(stage1) == ["SEED", "1", "SOLVER.MAX_ITER", "7", "SOLVER.BASE_LR", "0.25"]
    assert cells[0].pairs(stage2)[:2] == ["SEED", "3"]
    [stage] = cells[3].row.stages
    pairs = cells[3].pairs(stage)
    assert pairs[1::2] == ["3", "9", "0.5"], "seed, the stage's own iterations, the rate of all"


def test_a_row_may_have_seeds_of_its_own(tmp_path: Path) -> None:
    text = """
seeds: [3, 4]
rows:
  a: {stages: [{config: shapes/PADing}]}
  b: {seeds: [4, 1], stages: [{config: shapes/PADing}]}
"""
    cells = read_plan(written(tmp_path, text)).cells()
    assert [str(cell) for cell in cells] == ["a, seed 3", "a, seed 4", "b, seed 4", "b, seed 1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [1]", "'rows' .* is missing"),
        (f"{ROWS}\nseed: [1]", "unknown 'seed'; take folds, rows, seeds, settings"),
        (f"{ROWS}\nseeds: []", "'seeds' is empty"),
        ("rows: {a: {seeds: [], stages: [{config: shapes/PADing}]}}", "rows: a: 'seeds' is empty"),
        (f"{ROWS}\nfolds: {{}}", "it has no cell"),
        (f"{ROWS}\nseeds: [one]", "'seed' must be int"),
        (f"{ROWS}\nsettings: [1]", "settings must be configuration keys"),
        ("rows: {a: {stages: []}}", "rows: a: 'stages' is empty"),
        ("rows: {a: {vectors: no, stages: [{config: x}]}}", "take text or shuffled, random"),
        ("rows: {a: {stages: [{config: shapes/PADig}]}}", "did you mean shapes/PADing"),
        ("rows: {a: {stages: [{config: shapes/PADing, SEDE: 1}]}}", "no configuration key SEDE"),
        (f"{ROWS}\nsettings: {{DATASETS.TEST: []}}", "a, seed 1: DATASETS.TEST is .* one data set"),
    ],
)
def test_what_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_plan(written(tmp_path, text))
