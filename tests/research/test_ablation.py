"""The ablation: its statistics and report, and a run of the tool on a few scenes."""

import json
import math
from pathlib import Path

import ablation as tool
import numpy as np
import pytest
import torch
from PIL import Image

from pading.data.shapes.generation import ShapesSettings, generate
from pading.engine.building import configured_model
from pading.vocabulary.splits import load_split
from research.ablation.ablation_report import (
    HARMONIC,
    checkpoint_table,
    markdown_table,
    summarise_checkpoints,
    summarise_runs,
    write_report,
)
from research.ablation.replay import SegmentedImages
from research.ablation.runs import plan
from research.ablation.study import GENERATORS, ROWS, Laboratory, chosen_rows, other_vectors
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


def test_runs_on_one_checkpoint_are_not_independent() -> None:
    values = {"one": (10.0, 12.0, 14.0), "two": (20.0, 22.0, 24.0), "three": (33.0,)}
    runs = [
        {"row": "a", "seed": seed, "weights": weights, "figures": {HARMONIC: value}}
        for weights, found in values.items()
        for seed, value in enumerate(found)
    ]
    found = summarise_runs(runs)["a"][HARMONIC]
    means = [12.0, 22.0, 33.0]
    assert found["mean"] == pytest.approx(np.mean(means))
    # Student's t of 2 degrees of freedom at 97.5 % is 4.303.
    assert found["interval"] == pytest.approx(4.303 * np.std(means, ddof=1) / 3**0.5, rel=1e-3)
    assert found["std"] == pytest.approx(2.0)  # around the checkpoints' own means
    # A row on one of them alone says nothing of the others; one on none has independent runs.
    more = [{**run, "row": "b"} for run in runs if run["weights"] == "one"]
    more += [{**run, "row": "c", "weights": ""} for run in runs if run["weights"] == "one"]
    rows = summarise_runs(runs + more)
    assert rows["b"][HARMONIC]["interval"] is None
    assert rows["c"][HARMONIC]["interval"] == pytest.approx(4.303 * 2 / 3**0.5, rel=1e-3)
    table = checkpoint_table(summarise_checkpoints(runs + more))
    assert "| a | 12.0 ± 2.0 | 22.0 ± 2.0 | 33.0 |" in table
    assert "| b | 12.0 ± 2.0 |  |  |" in table
    assert "| c |" not in table


def test_the_report_ends_with_the_notes(tmp_path: Path) -> None:
    figures = {SEEN: 30.0, HARMONIC: 20.0, "seconds/training": 24.6}
    runs = [{"row": "a", "seed": s, "weights": "w", "figures": figures} for s in (1, 2)]
    write_report(runs, tmp_path / "page", "Heading", "command", "## Analysis\n\nWords.\n")
    page = (tmp_path / "page.md").read_text()
    assert page.endswith("![Heading](page.png)\n\n## Analysis\n\nWords.\n")
    assert "| a | 2 | 30.0 ± 0.0 | 20.0 ± 0.0 | 0.0 | 25 |" in page
    assert "one stage-1 checkpoint" in page
    assert "By stage-1 checkpoint" not in page
    write_report([*runs, {**runs[0], "weights": "v"}], tmp_path / "page", "Heading", "command")
    page = (tmp_path / "page.md").read_text()
    assert "on 2 stage-1 checkpoints" in page
    assert "1. `w`\n2. `v`" in page


def test_notes_that_are_missing(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(tool.main, "--weights", "any.pth", "--notes", tmp_path / "notes.md")
    assert "notes.md: cannot read this file" in capsys.readouterr().err


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


@pytest.fixture
def few_scenes(monkeypatch) -> None:
    """The bounds learn from a few small scenes."""
    scenes = ShapesSettings(seed=1, train=1, val=12, size=64)
    monkeypatch.setattr(tool, "_SCENES", dict.fromkeys(tool._SCENES, scenes))


def without_times(runs: list[dict]) -> list[dict]:
    """Runs with the figures that may not differ, in an order of their own."""
    kept = [
        {**r, "figures": {k: v for k, v in r["figures"].items() if not k.startswith("seconds")}}
        for r in runs
    ]
    return sorted(kept, key=lambda r: (r["row"], r["seed"]))


@pytest.mark.slow
def test_the_tool_goes_on_where_it_stopped(
    converted: Path, tmp_path: Path, tiny: list[str], few_scenes
) -> None:
    rows = ["no stage 2", "plain generator", "real unseen", "control: random"]
    rows += ["transductive", "from images", "unseen masks"]

    def runs(work: str, *options: object, overrides: tuple[str, ...] = ()) -> list[dict]:
        common = ("--work", tmp_path / work, "--output", tmp_path / "out", "--rows", *rows)
        bound = ("--bound-overrides", *tiny, *("SOLVER.IMS_PER_BATCH", 4))
        command = ("--weights", converted, *common, *bound, *options)
        run(tool.main, *command, "--", *tiny, *overrides)
        return json.loads((tmp_path / "out.json").read_text())["runs"]

    first = runs("w", "--seeds", 1, "--processes", 1)
    assert len(first) == 7
    second = runs("w", "--seeds", 2, "--processes", 2)
    # Without stage 2 there is one run whatever the seeds, and one segmenter that saw all.
    assert len(second) == 12
    assert all(run in second for run in first)
    assert all(SEEN in run["figures"] for run in second)
    page = (tmp_path / "out.md").read_text()
    assert "| control: random vectors | 2 |" in page
    assert (tmp_path / "out.png").stat().st_size > 5000
    # Each run is a function of row, weights and seed, however many go on at a time.
    again = runs("another", "--seeds", 2, "--processes", 2)
    assert without_times(again) == without_times(second)
    # Runs of other settings are other runs; those of before are still there.
    longer = runs("w", "--seeds", 1, overrides=("SOLVER.MAX_ITER", "3"))
    prints = [{r["row"]: r["fingerprint"] for r in some} for some in (first, longer)]
    same = [row for row in prints[0] if prints[0][row] == prints[1][row]]
    assert same == ["bound: segmenter trained with the unseen masks"]
    assert runs("w", "--seeds", 1) == first


def test_a_checkpoint_given_twice(converted: Path, tmp_path: Path, capsys) -> None:
    copy = tmp_path / "copy.pth"
    copy.write_bytes(converted.read_bytes())
    with pytest.raises(SystemExit, match="2"):
        run(tool.main, "--weights", converted, copy, "--work", tmp_path / "w")
    assert "the same checkpoint twice" in capsys.readouterr().err


def test_curve_over_seen_classes(
    converted: Path, tmp_path: Path, tiny: list[str], monkeypatch
) -> None:
    def here(work, tasks, scratch: Path, **_):
        return ((task, work(task, scratch)) for task in tasks)

    monkeypatch.setattr(tool, "run_in_processes", here)
    output = tmp_path / "curve"
    command = ("--weights", converted, "--seeds", 1, "--processes", 1, "--work", tmp_path / "w")
    curve = ("--seen-classes", 2, 5)
    run(tool.main, *command, "--output", output, "--rows", "ridge", *curve, "--", *tiny)
    done = json.loads(output.with_suffix(".json").read_text())["runs"]
    assert [run["row"] for run in done] == [f"{n} seen classes, ridge" for n in (2, 5)]
    run(tool.main, *command, "--output", output, *curve, "--", *tiny)
    names = [run["row"] for run in json.loads(output.with_suffix(".json").read_text())["runs"]]
    assert names == [f"{n} seen classes, {kind}" for n in (2, 5) for kind in GENERATORS]
    assert "# Over the number of seen classes" in output.with_suffix(".md").read_text()
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size == (660, 396)  # not bars
        assert len(picture.convert("RGB").getcolors(1 << 16)) > 10


def test_stage_2_learns_of_some_seen_classes_alone(converted: Path, tmp_path: Path, tiny) -> None:
    where = ["MODEL.WEIGHTS", str(converted), "OUTPUT_DIR", str(tmp_path)]
    cfg = tool.pading.load_config(str(tool._SHAPES), [*tiny, *where])
    tool.pading.register_datasets(cfg)
    laboratory = Laboratory(cfg, str(converted), tmp_path)
    whole = set(laboratory.store.labels.tolist())
    none = laboratory.store.no_object
    parts = [set(laboratory.store_of(3, seed).labels.tolist()) - {none} for seed in (1, 2, 1)]
    assert parts[0] == parts[2]
    assert all(part < whole and len(part) <= 3 for part in parts)
    assert laboratory.store_of(0, 1) is laboratory.store


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--all-classes", "nowhere"), "--all-classes nowhere: no such data set"),
        (("--config-file", "other/PADing.yaml"), "name a data set with --all-classes"),
        (("--seen-classes", "0"), "--seen-classes 0: it must be 1 or more"),
    ],
)
def test_bad_options(
    converted: Path, tmp_path: Path, capsys, options: tuple[str, ...], message: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("pretrain.yaml", "PADing.yaml"):
        (other / name).write_text(f"_BASE_: {tool._SHAPES.with_name(name)}\n")
    options = tuple(o.replace("other", str(other)) for o in options)
    common = ("--weights", converted, "--work", tmp_path / "w", "--rows", "real unseen")
    with pytest.raises(SystemExit, match="2"):
        run(tool.main, *common, *options)
    assert message in capsys.readouterr().err


def test_order_of_the_runs() -> None:
    rows = chosen_rows(["no stage", "primitives", "from images", "masks"])
    tasks = plan(rows, ["one", "two"], 2, 1, lambda row, weights: f"{row.name} {weights}")
    assert len(set(map(str, tasks))) == len(tasks)
    assert [t.seed for t in tasks] == sorted(t.seed for t in tasks)
    of_a_seed = [t for t in tasks if t.seed == 1]
    assert [t.row.last for t in of_a_seed] == sorted(t.row.last for t in of_a_seed)
    assert [t.weights for t in tasks if t.row.learns == "segmenter"] == [""]
    assert sum(t.row.learns == "nothing" for t in tasks) == 2
    assert of_a_seed[-1].row.name == "from images (published way)"


def test_segmented_images_score_as_the_model_does(
    converted: Path, tmp_path: Path, tiny: list[str]
) -> None:
    output = tmp_path / "s2"
    train("PADing", output, "MODEL.WEIGHTS", converted, "SOLVER.MAX_ITER", 2)
    path = output / "inference" / "shapes_panoptic_val" / "results.json"
    expected = json.loads(path.read_text())["metrics"]["panoptic_seg"]
    cfg = tool.pading.load_config(str(tool._SHAPES), tiny)
    tool.pading.register_datasets(cfg)
    model = configured_model(cfg)
    state = torch.load(output / "model_final.pth", weights_only=True)["model"]
    model.load_state_dict(state)
    found = SegmentedImages(cfg, model, "shapes_panoptic_val").score(cfg, model, tmp_path / "again")
    for name, value in expected.items():
        if value is not None:
            assert found[f"panoptic_seg/{name}"] == pytest.approx(value, abs=0.5)
