"""``pading prepare NAME FOLDER``, and the starters in datasets/ that are as old as the project."""

import importlib
from pathlib import Path

import pytest

from pading.commands import prepare
from pading.data.preparation import PREPARATIONS
from tests.runs import ROOT

STARTERS = ("coco_instances", "coco_panoptic", "coco_stuff", "shapes")


@pytest.mark.parametrize("name", PREPARATIONS)
def test_every_preparation_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    with pytest.raises(SystemExit) as end:
        prepare.main([name, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert f"    pading prepare {name}\n" in shown
    assert "default: datasets/" in shown


def test_the_folder_is_an_argument_or_an_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--train", "1", "--val", "1", "--size", "64"]
    prepare.main(["shapes", str(tmp_path / "a"), *sizes])
    importlib.import_module("pading.data.preparation.shapes").main(
        ["--root", str(tmp_path / "a"), *sizes]
    )
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "made",
        "already there",
    ]


def test_an_unknown_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        prepare.main(["imagenet"])
    assert end.value.code == 2
    assert "invalid choice: 'imagenet'" in capsys.readouterr().err


@pytest.mark.parametrize("name", STARTERS)
def test_starters(name: str) -> None:
    text = (ROOT / "datasets" / f"prepare_{name}.py").read_text()
    assert f"from pading.data.preparation.{name} import main" in text
    assert "exit_on_input_error(main)" in text
