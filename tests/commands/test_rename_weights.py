"""The renaming of checkpoints from the command line: bit by bit, and what loading makes of it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import Tensor

from pading.checkpoint.checkpointer import Checkpointer
from pading.checkpoint.weights import read_weights
from pading.commands import rename_weights as convert_checkpoint
from pading.errors import exit_on_input_error
from tests.narrow import narrow_model

ENDINGS = (".safetensors", ".pth")


def convert(monkeypatch: pytest.MonkeyPatch, to: str, *paths: Path) -> dict[str, Tensor]:
    """Run the tool; give back what the file that it wrote holds."""
    monkeypatch.setattr(sys, "argv", ["convert_checkpoint.py", "--to", to, *map(str, paths)])
    exit_on_input_error(convert_checkpoint.main)
    return read_weights(paths[-1])["model"]


def assert_same_bits(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("name", ["mask2former_resnet", "mask2former_swin", "pading_stage2"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_published_to_ours_and_back(
    name: str, ending: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with np.load(shared / "golden" / "model" / f"{name}.npz") as arrays:
        published = {
            entry.removeprefix("weights/"): torch.from_numpy(arrays[entry])
            for entry in arrays.files
            if entry.startswith("weights/")
        }
    torch.save({"model": published, "iteration": 7}, tmp_path / "published.pth")
    files = (tmp_path / "published.pth", tmp_path / f"ours{ending}", tmp_path / f"back{ending}")
    ours = convert(monkeypatch, "ours", *files[:2])
    assert not any(n.startswith(("new_fc.", "criterion.", "dict_feature.")) for n in ours)
    assert ("generator.primitives.weight" in ours) == (name == "pading_stage2")
    assert_same_bits(convert(monkeypatch, "published", *files[1:]), published)


@pytest.mark.parametrize("stage", ["pretrain", "PADing"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_ours_to_published_and_back(
    stage: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    model = narrow_model(stage)
    Checkpointer(model, str(tmp_path)).save("model_final", iteration=3)
    files = [tmp_path / "model_final.pth", tmp_path / f"theirs{ending}", tmp_path / f"ours{ending}"]
    published = convert(monkeypatch, "published", *files[:2])
    assert not any(n.startswith(("classifier.", "disentangler.")) for n in published)
    assert ("new_fc.weight" in published) == (stage == "PADing")
    assert_same_bits(convert(monkeypatch, "ours", *files[1:]), model.state_dict())

    # The published layout loads as it is, without our class vectors too.
    lean = {n: value for n, value in published.items() if n != "pading.class_vectors"}
    lean["criterion.empty_weight"] = torch.ones(3)
    torch.save({"model": lean}, tmp_path / "lean.pth")
    for checkpointer in (Checkpointer, DetectionCheckpointer):
        again = narrow_model(stage)
        if stage == "PADing":
            assert not torch.equal(again.classifier.weight, model.classifier.weight)
        checkpointer(again).load(str(tmp_path / "lean.pth"))
        assert_same_bits(again.state_dict(), model.state_dict())


def test_tensors_that_share_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: torch.Generator
) -> None:
    head = torch.randn(4, 6, generator=rng)
    name = "sem_seg_head.predictor.class_embed.weight"
    torch.save({name: head[:, ::2], "new_fc.weight": head[:, ::2]}, tmp_path / "w.pth")
    ours = convert(monkeypatch, "ours", tmp_path / "w.pth", tmp_path / "w.safetensors")
    assert_same_bits(ours, {name: head[:, ::2], "classifier.weight": head[:, ::2]})


@pytest.mark.parametrize(
    ("weights", "output", "message"),
    [
        ({"stem.conv1.weight": torch.zeros(1)}, "o.pth", "no checkpoint of a system that we know"),
        ({"sem_seg_head.x": torch.zeros(1)}, "o.pkl", "to a .safetensors or .pth file"),
    ],
)
def test_refused(
    weights: dict[str, Tensor],
    output: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(SystemExit) as exit_info:
        convert(monkeypatch, "ours", tmp_path / "w.pth", tmp_path / output)
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / output).exists()
