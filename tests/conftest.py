"""Fixtures of every test: fresh but reproducible randomness, and the optional reference data."""

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pading.compat import detectron2_version_line
from pading.data.shapes.generation import ShapesSettings, generate
from pading.vocabulary.splits import load_split

_SEED_VARIABLE = "PADING_TEST_SEED"
_SHARED_VARIABLE = "PADING_SHARED"


def pytest_report_header() -> str:
    """Every test run says which Detectron2 it ran on."""
    return detectron2_version_line()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A fresh seed, shown when the test fails; PADING_TEST_SEED repeats it."""
    value = int(os.environ.get(_SEED_VARIABLE) or random.SystemRandom().randrange(2**31))
    print(f"\nseed of {request.node.nodeid}: {value} (repeat with {_SEED_VARIABLE}={value})")
    torch.manual_seed(value)
    np.random.seed(value)
    random.seed(value)
    return value


@pytest.fixture
def rng(seed: int) -> torch.Generator:
    """A torch generator with the test's fresh seed."""
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the project; the test is skipped where it is absent."""
    default = Path(__file__).resolve().parents[1].parent / "shared"
    path = Path(os.environ.get(_SHARED_VARIABLE) or default)
    if not path.is_dir():
        pytest.skip(f"no reference data at {path} (set {_SHARED_VARIABLE} where it is elsewhere)")
    return path


@pytest.fixture(scope="session")
def scenes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data sets that holds a few synthetic scenes."""
    root = tmp_path_factory.mktemp("datasets")
    # Of this seed the three validation scenes show four unseen classes.
    settings = ShapesSettings(seed=5, train=6, val=3, size=64)
    generate(root / "shapes", load_split("shapes"), settings, workers=1)
    return root


@pytest.fixture
def tiny_scenes(scenes_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The synthetic scenes are where the entry points look for data sets."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(scenes_root))
    return scenes_root


@pytest.fixture(scope="session")
def stage_one(scenes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a short run of stage 1, evaluated."""
    from tests import runs  # imports the entry points, which few tests need

    output = tmp_path_factory.mktemp("pretrain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(scenes_root))
        runs.train("pretrain", output)
    return output


@pytest.fixture(scope="session")
def converted(stage_one: Path) -> Path:
    """Its weights, converted for stage 2."""
    from tests import runs

    path = stage_one / "converted.pth"
    runs.convert(stage_one / "model_final.pth", path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, driven by Playwright; the test is skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its sandbox does not work for root, whom containers have.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        yield playwright.chromium.launch(executable_path=path, args=options)


@pytest.fixture
def split_file(tmp_path: Path) -> Path:
    """Five classes: two seen things, an unseen thing, seen stuff, unseen stuff; ids with gaps."""
    rows = [
        (3, "cup", True, False),
        (9, "fork", True, False),
        (5, "spoon", True, True),
        (20, "table", False, False),
        (21, "floor", False, True),
    ]
    classes = [dict(zip(("id", "name", "isthing", "unseen"), row, strict=True)) for row in rows]
    path = tmp_path / "kitchen.json"
    path.write_text(json.dumps({"name": "kitchen", "classes": classes}))
    return path


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch):
    """Ends the next run in the middle of an iteration."""
    from pading.engine.loop import TrainingLoop  # which imports more than most tests need
    from tests.runs import Killed

    step = TrainingLoop.run_step

    def arrange(iteration: int) -> None:
        def run_step(loop: Any) -> None:
            if loop.iter == iteration:
                monkeypatch.setattr(TrainingLoop, "run_step", step)
                raise Killed
            step(loop)

        monkeypatch.setattr(TrainingLoop, "run_step", run_step)

    return arrange
