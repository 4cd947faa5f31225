"""The notebook of the documentation runs as it is, on a model that the tests made."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.runs import train

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_quickstart(
    converted: Path, tiny_scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("PADing", tmp_path / "run", "MODEL.WEIGHTS", converted, "DATASETS.TEST", "()")
    monkeypatch.setenv("PADING_QUICKSTART_MODEL", str(tmp_path / "run" / "model_final.pth"))
    monkeypatch.setenv("PADING_QUICKSTART_IMAGES", str(tiny_scenes / "shapes" / "val"))
    # The kernel finds this checkout and this interpreter, whatever is installed elsewhere.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "ops"))))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(ROOT / "docs" / "quickstart.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}})
    done = client.execute()
    text = "".join(o.get("text", "") for cell in done.cells for o in cell.get("outputs", ()))
    assert "'kite', 'zebra'" in text and "model.onnx" in text and "of the pixels" in text
    pictures = [
        o
        for cell in done.cells
        for o in cell.get("outputs", ())
        if "image/png" in o.get("data", {})
    ]
    assert len(pictures) >= 2
