"""tools/tune.py: what it writes can be trained with, and what is done is not done again."""

import json
from pathlib import Path

import pytest
import yaml

from pading.checkpoint.weights import read_weights
from pading.commands import train as train_net
from pading.commands import tune
from pading.config import load_config
from pading.tuning import choosing, pretence
from pading.tuning.chosen import FOLDER
from tests.runs import UNSCORED, arguments, run

GENERATOR = "MODEL.GENERATOR.NAME"


def test_a_choice_that_can_be_trained_and_is_made_once(
    converted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pretence, "LEAST_IMAGES", 2)
    few = {GENERATOR: ("primitives",), "SOLVER.GENERATOR_LR": (0.002,)}
    monkeypatch.setattr(choosing, "GRID", few)  # beside the generator without a rate
    options = ("--pretences=2", "--iterations=2")
    command = arguments("PADing", tmp_path / "run", *options, "MODEL.WEIGHTS", converted, *UNSCORED)
    run(tune.main, *command)
    folder = tmp_path / "run" / FOLDER
    record = json.loads((folder / "trials.json").read_text())
    first, second = record["pretended"]
    assert not {*first} & {*second}
    best = record["trials"][0]
    assert best["pretences"] == 2
    table = (folder / "trials.md").read_text()
    assert {trial["setting"][GENERATOR] for trial in record["trials"]} == {"primitives", "ridge"}
    assert f"| {best['setting'][GENERATOR]}" in table
    assert "| 0.002" in table
    assert ", ".join(first) in table
    cfg = load_config(str(folder / "chosen.yaml"))
    assert best["setting"][GENERATOR] == cfg.MODEL.GENERATOR.NAME
    assert best["bias"] == cfg.MODEL.INFERENCE.SEEN_BIAS
    assert cfg.SOLVER.MAX_ITER == 3, "that of the command line, not that of the choice"
    monkeypatch.setattr(choosing, "scores_of", None)
    done = (folder / "trials.json").read_text()
    run(tune.main, *command)
    assert (folder / "trials.json").read_text() == done
    assert f"pading train {folder / 'chosen.yaml'}" in capsys.readouterr().out
    run(train_net.main, folder / "chosen.yaml")
    config = yaml.safe_load(read_weights(tmp_path / "run" / "model_final.pth")["config"])
    assert config["MODEL"]["GENERATOR"]["NAME"] == cfg.MODEL.GENERATOR.NAME


def test_a_grid_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(f"{GENERATOR}: [mlp, ridge]\nSOLVER.BASE_LR: [0.1, 1]\n")
    found = choosing.settings(choosing.read_grid(tmp_path / "grid.yaml"))
    names, rates = zip(*(setting.values() for setting in found), strict=True)
    assert (names, rates) == (("mlp", "mlp", "ridge", "ridge"), (0.1, 1, 0.1, 1))


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("SOLVER.BASE_LR: 0.1", "SOLVER.BASE_LR is 0.1; give a list"),
        ("INPUT.IMAGE_SIZE: [64]", "INPUT.IMAGE_SIZE cannot be chosen on stored embeddings"),
        ("[1]", "expected configuration keys"),
        ("SOLVER.BASE_RATE: [1]", "there is no configuration key SOLVER.BASE_RATE"),
    ],
)
def test_bad_grids(
    grid: str,
    message: str,
    converted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "grid.yaml").write_text(grid)
    options = (f"--grid={tmp_path / 'grid.yaml'}",)
    with pytest.raises(SystemExit):
        run(
            tune.main,
            *arguments("PADing", tmp_path, *options, "MODEL.WEIGHTS", converted, *UNSCORED),
        )
    assert message in capsys.readouterr().err
