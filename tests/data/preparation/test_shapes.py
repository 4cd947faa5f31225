"""pading prepare shapes: what it makes is what the table of data sets reads."""

from pathlib import Path

import pytest

from pading.data.catalogue import DATASETS
from pading.data.ground_truth import LOADERS
from pading.data.preparation import shapes
from pading.errors import InputError
from pading.vocabulary.splits import load_split

COUNTS = {"train": 5, "val": 3}


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The preparation, with the root of the data sets in a temporary folder."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return shapes.main


def test_every_task_of_the_table_reads_it(prepare, tmp_path: Path, capsys) -> None:
    arguments = ["--train", "5", "--val", "3", "--size", "64"]
    prepare(arguments)
    assert f"{tmp_path / 'shapes'}: made" in capsys.readouterr().out
    prepare(arguments)
    assert "already there" in capsys.readouterr().out
    specs = [spec.under(tmp_path) for spec in DATASETS if spec.name.startswith("shapes_")]
    assert len(specs) >= 2
    for spec in specs:
        subset = spec.name.rpartition("_")[2]
        entries = LOADERS[spec.task](spec, load_split("shapes"))
        assert len(entries) == COUNTS[subset]
        assert {(entry["height"], entry["width"]) for entry in entries} == {(64, 64)}


def test_refused(prepare, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="val is 0"):
        prepare(["--val", "0"])
    with pytest.raises(InputError, match="Shapes cannot draw the thing class 'person'"):
        prepare(["--split", "coco_stuff_156_15"])
    assert list(tmp_path.iterdir()) == []
