"""The ablation: its statistics and report, and a run of the tool on a few scenes."""

import json
import math
from pathlib import Path

import ablation as tool
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from pading.data.shapes import ShapesSettings, generate
from pading.data.splits import load_split
from pading.evaluation.ablation import ROWS, chosen_rows, other_vectors
from pading.evaluation.ablation_report import markdown_table, summarise_runs
from pading.evaluation.replay import SegmentedImages
from tests.runs import TINY, convert, run, train

SPLIT = load_split("shapes")
SEEN, UNSEEN = "panoptic_seg/PQ_seen", "panoptic_seg/PQ_unseen"


def test_mean_and_interval() -> None:
    runs = [
        {"row": "a", "seed": s, "weights": "w", "figures": {SEEN: v, UNSEEN: None}}
        for s, v in enumerate((1.0, 2.0, 3.0, 4.0, 5.0))
    ]
    runs.append({"row": "b", "seed": 1, "weights": "w", "figures": {SEEN: 7.0, UNSEEN: 0.0}})
    rows = summarise_runs(runs)
    found = rows["a"][SEEN]
    assert (found["mean"], rows["a"]["runs"]) == (3.0, 5)
    assert found["std"] == pytest.approx(math.sqrt(2.5))
    # Student's t of 4 degrees of freedom at 97.5 % is 2.776.
    assert found["interval"] == pytest.approx(2.776 * math.sqrt(2.5 / 5), rel=1e-3)
    assert UNSEEN not in rows["a"]
    assert rows["b"][UNSEEN] == {"mean": 0.0, "std": None, "interval": None}
    table = markdown_table(rows)
    assert "| a | 5 | 3.0 ± 2.0 |  |" in table
    assert "| b | 1 | 7.0 | 0.0 |" in table


def test_vectors_of_the_controls(seed: int) -> None:
    attributes = other_vectors("attributes", "shapes_minilm", SPLIT, seed).select(SPLIT.names)
    assert (attributes.sum(1) == 2).all()  # a colour and a shape
    assert len({tuple(row) for row in attributes.tolist()}) == SPLIT.num_classes
    text = other_vectors("shuffled", "shapes_minilm", SPLIT, seed)
    again = other_vectors("shuffled", "shapes_minilm", SPLIT, seed)
    assert np.array_equal(text.vectors, again.vectors)
    random = other_vectors("random", "shapes_minilm", SPLIT, seed).vectors
    assert np.allclose(np.linalg.norm(random, axis=1), 1, atol=1e-5)


def test_rows_are_chosen_by_name() -> None:
    assert [row.name for row in chosen_rows(["control", "no stage"])] == [
        *("no stage 2", "control: random vectors", "control: shuffled vectors")
    ]
    assert chosen_rows([]) == list(ROWS)
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory):
    """A converted checkpoint of stage 1, after a step on a few scenes."""
    root = tmp_path_factory.mktemp("datasets")
    settings = ShapesSettings(seed=0, train=4, val=3, size=64)
    generate(root / "shapes", SPLIT, settings, workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(root))
        train("pretrain", root / "one", "SOLVER.MAX_ITER", 1, "DATASETS.TEST", "()")
        convert(root / "one" / "model_final.pth", root / "converted.pth")
        yield root / "converted.pth"


@pytest.fixture
def tiny() -> list[str]:
    return [str(part) for pair in {**TINY, "SOLVER.MAX_ITER": 2}.items() for part in pair]


def test_the_tool_goes_on_where_it_stopped(
    converted: Path, tmp_path: Path, tiny: list[str], monkeypatch
) -> None:
    monkeypatch.setattr(tool, "_SETTINGS", ShapesSettings(seed=1, train=1, val=12, size=64))
    rows = ("no stage 2", "plain generator", "real unseen", "random")
    command = ("--weights", converted, "--work", tmp_path / "w", "--output", tmp_path / "out")
    run(tool.main, *command, "--seeds", 1, "--rows", *rows, "--", *tiny)
    first = json.loads((tmp_path / "out.json").read_text())
    assert len(first["runs"]) == 4
    run(tool.main, *command, "--seeds", 2, "--rows", *rows, "--", *tiny)
    second = json.loads((tmp_path / "out.json").read_text())
    # Without stage 2 there is one run whatever the seeds.
    assert len(second["runs"]) == 7
    assert all(run in second["runs"] for run in first["runs"])
    assert all(SEEN in run["figures"] for run in second["runs"])
    assert "| control: random vectors | 2 |" in (tmp_path / "out.md").read_text()
    assert (tmp_path / "out.png").stat().st_size > 5000


def test_segmented_images_score_as_the_model_does(
    converted: Path, tmp_path: Path, tiny: list[str]
) -> None:
    output = tmp_path / "s2"
    train("PADing", output, "MODEL.WEIGHTS", converted, "SOLVER.MAX_ITER", 2)
    path = output / "inference" / "shapes_panoptic_val" / "results.json"
    expected = json.loads(path.read_text())["metrics"]["panoptic_seg"]
    cfg = tool.pading.load_config(str(tool._CONFIG), tiny)
    tool.pading.register_datasets(cfg)
    model = build_model(cfg)
    state = torch.load(output / "model_final.pth", weights_only=True)["model"]
    model.load_state_dict(state)
    found = SegmentedImages(cfg, model, "shapes_panoptic_val").score(cfg, model, tmp_path / "again")
    for name, value in expected.items():
        if value is not None:
            assert found[f"panoptic_seg/{name}"] == pytest.approx(value, abs=0.5)
