"""tools/check_dataset.py: report, sheet, exit status."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from pading.commands import check_data as check_dataset
from pading.data.shapes.generation import ShapesSettings, generate
from pading.errors import exit_on_input_error
from pading.vocabulary.splits import load_split
from tests.narrow import SHAPES

TASKS = ("panoptic", "instance", "semantic")


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = ShapesSettings(seed=0, train=2, val=3, size=64)
    generate(tmp_path / "shapes", load_split("shapes"), settings, workers=1)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path / "shapes"


def run(monkeypatch: pytest.MonkeyPatch, output: Path, *options: object) -> int:
    """The exit status."""
    command = ["check_dataset.py", "--output", output, *options]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    with pytest.raises(SystemExit) as exit_info:
        exit_on_input_error(check_dataset.main)
    return int(exit_info.value.code)


def test_good_sets_of_every_task(shapes: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    names = [f"shapes_{task}_val" for task in TASKS]
    assert run(monkeypatch, tmp_path / "sheets", "--names", *names) == 0
    out = capsys.readouterr().out
    assert out.count("no errors") == out.count("images without fault: 3;") == 3
    for task, name in zip(TASKS, names, strict=True):
        assert f"{name}: {task}, split shapes (36 seen and 6 unseen classes)" in out
        with Image.open(tmp_path / "sheets" / f"{name}.png") as sheet:
            assert sheet.height > 3 * 400


def test_faults_are_counted_and_the_first_are_named(
    shapes: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    images = sorted((shapes / "val").iterdir())
    images[0].unlink()
    images[1].write_bytes(b"")
    options = ("--config-file", SHAPES, "--samples", 1)
    assert run(monkeypatch, tmp_path / "sheets", *options) == 1
    train, val = capsys.readouterr().out.split("shapes_panoptic_val: ")
    assert "shapes_panoptic_train: panoptic" in train
    assert ", seen_only\n  images without fault: 2;" in train
    assert "no errors" in train
    assert "images without fault: 1;" in val
    assert f"error: missing (1)\n    {images[0]}: there is no such file" in val
    assert f"error: corrupt (1)\n    {images[1]}: cannot read this image" in val
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == [
        "shapes_panoptic_train.png",
        "shapes_panoptic_val.png",
    ]


def test_own_file_and_many_faults(shapes: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    for path in (shapes / "panoptic_val").iterdir():
        path.unlink()
    own = tmp_path / "own.yaml"
    own.write_text(
        "{name: mine, task: semantic, split: shapes, images: shapes/val,"
        " labels: shapes/panoptic_val, annotations: shapes/annotations/panoptic_val.json}"
    )
    monkeypatch.setattr(check_dataset, "_SHOWN", 2)
    assert run(monkeypatch, tmp_path / "sheets", "--files", own) == 1
    out = capsys.readouterr().out
    assert out.startswith("\nmine: semantic, split shapes")
    assert "error: missing (3)" in out
    assert "... and 1 more" in out
    assert "error: empty" in out
    assert not list((tmp_path / "sheets").iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "which data sets? give --config-file, --names or --files"),
        (("--names", "shapes_panoptic_vall"), "did you mean 'shapes_panoptic_val'?"),
        (("--files", "none.yaml"), "none.yaml: cannot read this data set file"),
        (("--names", "shapes_panoptic_val", "--output", "/dev/null"), "--output /dev/null: cannot"),
        (
            ("--config-file", SHAPES, "DATASETS.TRAIN", "('shapes_panoptic_val',)"),
            "may hold unseen classes",
        ),
    ],
)
def test_bad_input(options: tuple, message: str, tmp_path: Path, monkeypatch, capsys) -> None:
    assert run(monkeypatch, tmp_path / "sheets", *options) == 2
    assert message in capsys.readouterr().err
