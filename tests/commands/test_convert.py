"""The converter from the command line."""

import json
import sys
from pathlib import Path

import pytest
import torch

from pading.checkpoint.weights import read_weights
from pading.commands import convert as preprocess_pretrained_weight
from pading.errors import exit_on_input_error

HEAD = "sem_seg_head.predictor.class_embed."


def convert(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["preprocess", *map(str, arguments)])
    exit_on_input_error(preprocess_pretrained_weight.main)


@pytest.fixture
def checkpoint(tmp_path: Path, rng: torch.Generator) -> Path:
    """Of stage 1 of a split with three seen classes and one unseen."""
    model = {
        HEAD + "weight": torch.randn(4, 8, generator=rng),
        HEAD + "bias": torch.randn(4, generator=rng),
    }
    torch.save({"model": model, "iteration": 5}, tmp_path / "model_final.pth")
    return tmp_path / "model_final.pth"


@pytest.fixture
def split_file(tmp_path: Path) -> Path:
    classes = [
        {"id": i + 1, "name": f"class {i}", "isthing": True, "unseen": i == 1} for i in range(4)
    ]
    path = tmp_path / "four.json"
    path.write_text(json.dumps({"name": "four", "classes": classes}))
    return path


def test_end_to_end(
    checkpoint: Path,
    split_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    convert(
        monkeypatch, "--task_name", "panoptic", "--input_file", checkpoint, "--split", split_file
    )
    head = read_weights(checkpoint)["model"][HEAD + "weight"]
    grown = read_weights(tmp_path / "pretrained_weight_panoptic.pth")
    assert set(grown) == {"model"}
    wanted = torch.stack((head[0], torch.zeros(8), head[1], head[2], head[3]))
    assert torch.equal(grown["model"]["classifier.weight"], wanted)
    assert "grown from 3 seen to 4 classes of four, no-object last" in capsys.readouterr().out


def test_published_split_by_default(
    tmp_path: Path, rng: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {HEAD + "weight": torch.randn(49, 8, generator=rng), HEAD + "bias": torch.zeros(49)}
    torch.save({"model": model}, tmp_path / "w.pth")
    convert(
        monkeypatch,
        *("--task_name", "instance", "--input_file", tmp_path / "w.pth"),
        *("--output_file", tmp_path / "out.pth"),
    )
    grown = read_weights(tmp_path / "out.pth")["model"]
    assert grown["classifier.weight"].shape == (66, 8)
    assert torch.equal(grown["classifier.weight"][-1], model[HEAD + "weight"][-1])


def test_published_checkpoint(
    checkpoint: Path, split_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = read_weights(checkpoint)["model"]
    published = {
        **weights,
        "sem_seg_head.predictor.static_query.weight": torch.ones(3),
        "criterion.empty_weight": torch.ones(4),
    }
    torch.save({"model": published}, tmp_path / "theirs.pth")
    convert(
        monkeypatch,
        *("--task_name", "panoptic", "--split", split_file),
        *("--input_file", tmp_path / "theirs.pth", "--output_file", tmp_path / "o.safetensors"),
    )
    names = {"weight", "bias"}
    assert set(read_weights(tmp_path / "o.safetensors")["model"]) == {
        *(HEAD + name for name in names),
        *("classifier." + name for name in names),
        "sem_seg_head.predictor.query_feat.weight",
    }


def test_other_class_count(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out.pth"
    with pytest.raises(SystemExit) as exit_info:
        convert(
            monkeypatch,
            *("--task_name", "panoptic", "--input_file", checkpoint, "--output_file", output),
        )
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert f"error: {checkpoint}: its class head has 4 outputs" in error
    assert len(error.splitlines()) == 1
    assert not output.exists()


def test_another_split_of_as_many_seen_classes(
    checkpoint: Path,
    split_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    split = json.loads(split_file.read_text())
    split["classes"].reverse()
    content = torch.load(checkpoint)
    torch.save({**content, "split": split}, checkpoint)
    output = tmp_path / "out.pth"
    files = ("--input_file", checkpoint, "--split", split_file, "--output_file", output)
    with pytest.raises(SystemExit):
        convert(monkeypatch, "--task_name", "panoptic", *files)
    assert "'class 0' is at row 2 of the class head, not at row 0" in capsys.readouterr().err
    assert not output.exists()
