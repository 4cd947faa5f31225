"""Who is near whom: by hand, and through the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pading.commands import vectors as command
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.similarity import similarities

ANGLES = {"cup": 0, "mug": 10, "fork": 60, "spoon": 75, "yeti": 200}


def angled() -> ClassVectors:
    radians = np.deg2rad(list(ANGLES.values()))
    vectors = np.stack((np.cos(radians), np.sin(radians)), axis=1).astype(np.float32)
    return ClassVectors(tuple(ANGLES), 3 * vectors, "a test")


def test_by_hand() -> None:
    found = similarities(angled(), ["mug", "yeti"])
    assert [name for name, _ in found.nearest["mug"]] == ["cup", "fork", "spoon"]
    pairs = [(one, other) for one, other, _ in found.confused]
    assert pairs == [("cup", "mug"), ("fork", "spoon")]
    assert found.confused[0][2] == pytest.approx(np.cos(np.deg2rad(10)), abs=1e-6)
    assert [name for name, _ in found.far] == ["yeti"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    angled().save(tmp_path / "v.npz")
    rows = [
        {"id": n, "name": name, "isthing": True, "unseen": name == "yeti"}
        for n, name in enumerate(ANGLES)
    ]
    (tmp_path / "s.json").write_text(json.dumps({"name": "s", "classes": rows}))
    picture = tmp_path / "near.png"
    files = ["--vectors", str(tmp_path / "v.npz"), "--split", str(tmp_path / "s.json")]
    command.main([*files, "--explain", str(picture)])
    out = capsys.readouterr().out
    assert "cup - mug 0.98" in out
    assert "far from every seen class" in out
    with Image.open(picture) as image:
        assert min(image.size) > 300
