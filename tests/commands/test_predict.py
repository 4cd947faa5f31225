"""tools/predict.py: exit status and messages; what it writes is tested in tests/prediction."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pading.commands import predict
from pading.errors import exit_on_input_error
from tests.narrow import NARROW_OVERRIDES, SHAPES, save_random_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def photographs(tmp_path: Path, seed: int) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def run(
    monkeypatch: pytest.MonkeyPatch, source: Path, output: object, *overrides: object, config=SHAPES
) -> int:
    """The exit status."""
    options = ["--config-file", config, "--input", source, "--output", output]
    command = ["predict.py", *options, *NARROW_OVERRIDES, *overrides]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    try:
        exit_on_input_error(predict.main)
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_folder(
    photographs: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (photographs / "notes.txt").write_text("no image")
    output = tmp_path / "output"
    assert run(monkeypatch, photographs, output, "MODEL.WEIGHTS", weights) == 0
    out = capsys.readouterr().out
    assert f"passed over, as no images: {photographs / 'notes.txt'}" in out
    assert f"2 of 2 images: results in {output}" in out
    assert sorted(path.name for path in (output / "panoptic_overlays").iterdir()) == [
        "a.png",
        "b.png",
    ]
    assert Image.open(output / "panoptic" / "a.png").size == (50, 40)


def test_pairs_right_behind_the_images(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    options = ["--config-file", SHAPES, "--output", "unused", "--input", photographs]
    command = ["predict.py", *options, "MODEL.WEIGHTS", "model.pth"]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    with pytest.raises(SystemExit, match="2"):
        predict.main()
    assert "--input takes MODEL.WEIGHTS for an image" in capsys.readouterr().err


def test_unreadable_images_are_named_in_the_end(
    photographs: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    for name in ("0.jpg", "c.webp"):
        (photographs / name).write_bytes(b"no image")
    output = tmp_path / "output"
    assert run(monkeypatch, photographs, output, "MODEL.WEIGHTS", weights) == 1
    captured = capsys.readouterr()
    assert "2 of 4 images" in captured.out
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    for name, line in zip(("0.jpg", "c.webp"), errors, strict=True):
        assert f"{photographs / name}: cannot read this image" in line
    assert len(list((output / "panoptic").iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "nothing"}, "nothing: there is no such file or folder"),
        ({"source": "."}, "no image there"),
        ({"output": "/dev/null/x"}, "--output /dev/null/x: cannot write there"),
        ({"config": "none.yaml"}, "none.yaml: cannot read this configuration"),
        ({"overrides": ()}, "no weights; give those of a trained model as MODEL.WEIGHTS FILE"),
        ({"overrides": ("MODEL.WIGHTS", "x")}, "did you mean MODEL.WEIGHTS?"),
    ],
)
def test_bad_input(
    change: dict,
    message: str,
    photographs: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / change.get("source", "photographs")
    overrides = change.get("overrides", ("MODEL.WEIGHTS", weights))
    output, config = change.get("output", tmp_path / "output"), change.get("config", SHAPES)
    assert run(monkeypatch, source, output, *overrides, config=config) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
