"""``pading NAME`` and ``tools/*.py``: the table of commands, their help and what starts at once."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import pading
from pading import commands

ROOT = Path(__file__).resolve().parents[2]
TOOLS = {
    "new": "new_project",
    "train": "train_net",
    "predict": "predict",
    "evaluate": "evaluate_predictions",
    "app": "app",
    "report": "report",
    "convert": "preprocess_pretrained_weight",
    "add-classes": "add_classes",
    "export": "export_model",
    "quantize": "quantize",
    "vectors": "build_class_vectors",
    "prepare": "prepare_dataset",
    "check-data": "check_dataset",
    "store": "store_embeddings",
    "tune": "tune",
    "bench": "bench",
    "rename-weights": "convert_checkpoint",
}


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["pading", *arguments])
    try:
        commands.pading()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_help_lists_every_command_and_imports_nothing_large() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "from pading.commands import pading; pading()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(f"  {name}  " in done.stdout for name in commands.COMMANDS)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pading.commands" in imported
    assert not {name.split(".")[0] for name in imported} & {"torch", "detectron2", "numpy", "PIL"}


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"pading {pading.__version__}\n"


@pytest.mark.parametrize(
    ("name", "hint"), [("trian", "did you mean 'train'?"), ("xyz", "see pading --help")]
)
def test_unknown_command(
    name: str, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, name) == 2
    assert f"no command {name!r}; {hint}" in capsys.readouterr().err


PRINTED = {
    "new": "home: instance, 80 images to train on",
    "train": "harmonic  ",
    "predict": "12 of 12 images: results in",
    "evaluate": "harmonic  33.8",
    "app": "http://127.0.0.1:7860/",
    "report": "report.html: 1 run",
    "convert": "class head grown from 119 seen to 133",
    "add-classes": "134 classes, 1 new and 0 gone",
    "export": "outputs within 2.1e-06 of PyTorch's",
    "quantize": "81 ranges from 32 images",
    "vectors": "my_minilm.npz: 17 classes, 384 numbers each",
    "prepare": "wrote 5000 maps",
    "check-data": "images without fault: 40",
    "store": "header.json",
    "tune": "chosen in 6.2 minutes",
    "bench": "67.9 ± 0.8",
    "rename-weights": "tensors under our names",
}
"""Command -> what its help shows of what it prints or writes."""


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_help_shows_what_the_output_looks_like(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, name, "--help") == 0
    shown = capsys.readouterr().out
    assert any(line.startswith("    ") and PRINTED[name] in line for line in shown.splitlines())


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Help with an example; parse and main; a starter in tools/."""
    assert call(monkeypatch, name, "--help") == 0
    assert f"    pading {name} " in capsys.readouterr().out
    module = importlib.import_module(f"pading.commands.{name.replace('-', '_')}")
    assert callable(module.parse) and callable(module.main)
    assert f'run("{name}")' in (ROOT / "tools" / f"{TOOLS[name]}.py").read_text()


def test_bad_input_ends_with_status_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "vectors", "--output", "v.npz") == 2
    assert capsys.readouterr().err.startswith("error: no class names")
