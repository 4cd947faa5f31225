"""TorchScript archives: their tensors are read, their code never runs."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from pading.checkpoint.weights import read_weights
from pading.errors import InputError
from pading.torchscript_archive import is_torchscript_archive


class Tower(nn.Module):
    """As CLIP: nested modules, half precision, a mask that is no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])
        self.scale = nn.Parameter(torch.tensor(2.5))
        self.register_buffer("steps", torch.arange(3))
        self.mask = torch.full((2, 2), float("-inf"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x * self.scale + self.mask.sum()


class Loud(nn.Module):
    """Its own code runs where PyTorch loads it."""

    @torch.jit.export
    def __getstate__(self) -> bool:
        return self.training

    @torch.jit.export
    def __setstate__(self, state: bool) -> None:
        raise RuntimeError("this code was run")


@pytest.fixture
def archive(seed: int, tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    model = torch.jit.script(Tower().half())
    model.save(str(tmp_path / "clip.pt"))
    return tmp_path / "clip.pt", model.state_dict()


def rewritten(path: Path, **entries: bytes | None) -> Path:
    """The archive with other entries (by the name's last part), or without them."""
    other = path.with_name("other.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            content = entries.get(Path(name).stem, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return other


def test_the_state_dict_bit_for_bit(archive: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path, wanted = archive
    assert is_torchscript_archive(path)
    found = read_weights(path)["model"]
    assert set(found) == set(wanted)
    assert found["blocks.0.weight"].dtype == torch.float16
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value)


def test_foreign_code_is_refused_unexecuted(
    archive: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    class Malice:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "sentinel",)

    path = rewritten(archive[0], data=pickle.dumps(Malice(), 2))
    with pytest.raises(InputError, match=r"other\.pt: .*it asks for"):
        read_weights(path)
    assert not (tmp_path / "sentinel").exists()


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_code_of_modules_is_never_run(tmp_path: Path) -> None:
    path = str(tmp_path / "loud.pt")
    torch.jit.script(Loud()).save(path)
    with pytest.raises(torch.jit.Error, match="this code was run"):
        torch.jit.load(path)
    with pytest.raises(InputError, match=r"loud\.pt: not a file of weights that can be trusted"):
        read_weights(path)


@pytest.mark.parametrize("missing", ["data", "0", "test_torchscript_archive"])
def test_parts_that_are_missing(
    missing: str, archive: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    with zipfile.ZipFile(archive[0]) as found:
        sources = {Path(n).stem: None for n in found.namelist() if n.endswith(".py")}
    gone = sources if missing.startswith("test") else {missing: None}
    with pytest.raises(InputError, match=r"other\.pt"):
        read_weights(rewritten(archive[0], **gone))


def test_cut_off_and_without_tensors(
    archive: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.pt"
    cut.write_bytes(archive[0].read_bytes()[:-200])
    with pytest.raises(InputError, match=r"cut\.pt"):
        read_weights(cut)
    torch.jit.script(nn.ReLU()).save(str(tmp_path / "empty.pt"))
    with pytest.raises(InputError, match=r"empty\.pt: .*weights"):
        read_weights(tmp_path / "empty.pt")
