"""The wheel: what is in it, and that it works where the checkout is not."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("pading", "ops", "configs", "research", "setup.py", "pyproject.toml", "README.md")
# Neither the network nor the checkout.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    "BUILD_OPS": "0",
    "PIP_NO_INDEX": "1",
}


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that an earlier build's leftovers are not in it."""
    folder = tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info")
    for name in (*PARTS, "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / "source" / name, ignore=skipped)
        else:
            shutil.copy(source, folder / "source" / name)
    options = ("--no-build-isolation", "--no-deps", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, folder / "source", cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.slow
def test_what_is_inside(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("pading/**/*.py")),
        *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("pading/vocabulary/splits/*")),
        *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("pading/vocabulary/vectors/*")),
        *(f"pading/{p.relative_to(ROOT).as_posix()}" for p in ROOT.glob("configs/**/*.yaml")),
        *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("pading/reports/templates/*")),
        *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("pading/apps/static/*")),
        "pading_ops/__init__.py",
    }
    assert wanted <= names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"pading", "pading_ops"}


@pytest.mark.slow
def test_commands_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "environment"
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel),
        cwd=tmp_path,
    )
    # PyTorch and the rest; links to a checkout are read in an environment's own folder alone.
    (site,) = place.glob("lib/python*/site-packages")
    (site / "rest.pth").write_text(sysconfig.get_path("purelib"))
    where = run(python, "-c", "import pading; print(pading.__file__)", cwd=tmp_path)
    assert where.startswith(str(place))
    pading = place / "bin" / "pading"
    assert "add-classes" in run(pading, "--help", cwd=tmp_path)
    assert "--names-from" in run(pading, "vectors", "--help", cwd=tmp_path)
    assert "--eval-only" in run(pading, "train", "--help", cwd=tmp_path)
