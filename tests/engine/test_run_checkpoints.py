"""Which checkpoint of a run is resumed from."""

import logging
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from pading.checkpoint.matching import LoadsWhole
from pading.engine.run_checkpoints import RunCheckpointer
from pading.errors import InputError


class State:
    """Stands for the trainer."""

    def __init__(self) -> None:
        self.step = -1

    def state_dict(self) -> dict:
        return {"step": self.step}

    def load_state_dict(self, state: dict) -> None:
        self.step = state["step"]


class Model(LoadsWhole):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(4, 4)
        self.sem_seg_head = nn.Linear(4, 4)


def checkpointer(folder: Path, run: str | None = "this") -> RunCheckpointer:
    return RunCheckpointer(Model(), str(folder), run, trainer=State())


@pytest.fixture
def folder(tmp_path: Path, seed: int) -> Path:
    """Holds checkpoints of iterations 1 and 2."""
    writer = checkpointer(tmp_path)
    for step in (1, 2):
        writer.checkpointables["trainer"].step = step
        writer.save(f"model_{step:07d}", iteration=step)
    return tmp_path


def resumed(folder: Path, run: str | None = "this") -> int:
    reader = checkpointer(folder, run)
    found = reader.resume_or_load("", resume=True)
    assert reader.checkpointables["trainer"].step == found["iteration"]
    return found["iteration"]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def spoil(path: Path) -> None:
    """Change one bit amid the tensors; torch does not notice."""
    content = bytearray(path.read_bytes())
    content[content.index(b"/data/0") + 200] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)


def without_state(path: Path) -> None:
    torch.save({"model": Model().state_dict()}, path)


def of_another_run(path: Path) -> None:
    other = checkpointer(path.parent, "other")
    other.save(path.stem, iteration=2)


@pytest.mark.parametrize("damage", [cut, empty, spoil, Path.unlink, without_state, of_another_run])
def test_the_one_before_is_used(damage, folder: Path, caplog) -> None:
    assert resumed(folder) == 2
    damage(folder / "model_0000002.pth")
    with caplog.at_level(logging.WARNING):
        assert resumed(folder) == 1
    assert any("model_0000002.pth" in message for message in caplog.messages)
    cut(folder / "model_0000001.pth")
    with pytest.raises(InputError, match="none of its checkpoints can be resumed from") as caught:
        resumed(folder)
    assert "model_0000001.pth" in str(caught.value)


def test_last_checkpoint_counts_and_may_be_empty(folder: Path) -> None:
    (folder / "last_checkpoint").write_text("model_0000001.pth")
    assert resumed(folder) == 1
    (folder / "last_checkpoint").write_text("")
    assert resumed(folder) == 2
    (folder / "last_checkpoint").unlink()
    assert checkpointer(folder).resume_or_load("", resume=True) == {}


def test_a_folder_without_record_can_be_resumed(folder: Path) -> None:
    assert resumed(folder, None) == 2


def test_what_is_pruned(folder: Path) -> None:
    for name in ("model_final", "model_best", "nonfinite_0000001"):
        checkpointer(folder).save(name, tag=False)
    checkpointer(folder).prune(0)
    assert len(list(folder.glob("model_0*.pth"))) == 2
    (folder / "last_checkpoint").write_text("model_0000001.pth")
    checkpointer(folder).prune(1)
    assert len(list(folder.glob("model_0*.pth"))) == 2
    (folder / "last_checkpoint").write_text("model_0000002.pth")
    checkpointer(folder).prune(1)
    assert sorted(path.stem for path in folder.glob("*.pth")) == [
        *("model_0000002", "model_best", "model_final", "nonfinite_0000001")
    ]
