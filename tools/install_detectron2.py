"""Install Detectron2 v0.6 as a pure-Python wheel that runs on today's PyTorch.

Detectron2 has no distribution under its own name on the package index. `pb1-detectron2==0.6` there
holds the unchanged Python sources of the official tag v0.6, but not its C++ sources, so it cannot
be built as it is. This script fetches it with pip (from whatever index pip is configured for),
checks its hash, repairs it (tools/detectron2_repairs.py says what and why), builds a wheel named
`detectron2` with a local version, and installs it into the running Python.

A Detectron2 that is already installed is left alone unless --force is given; only an older wheel of
this script's own making is replaced.

Upstream's main branch works as well, with its compiled extension, for those who can reach it:
clone https://github.com/facebookresearch/detectron2 and, in the environment that has torch, run
`pip install --no-build-isolation ./detectron2` BEFORE this script, which then leaves it alone.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from detectron2_repairs import RepairError, apply_repairs, repairs_digest

SDIST = "pb1-detectron2==0.6"
SDIST_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
LOCAL_VERSION_PREFIX = "0.6+pading."
# An 'r' in front: a local version part of digits only would lose its leading zeros.
VERSION = f"{LOCAL_VERSION_PREFIX}r{repairs_digest()}"
WHEEL_NAME = f"detectron2-{VERSION}-py3-none-any.whl"
# pip 26.3 refuses the source distribution because one of its extras is a direct URL.
FIRST_REFUSING_PIP = (26, 3)

# Only what the package imports: black, future and pydot of the original list served exporters.
DEPENDENCIES = (
    *("Pillow>=7.1", "matplotlib", "pycocotools>=2.0.2", "termcolor>=1.1", "yacs>=0.1.8"),
    *("tabulate", "cloudpickle", "tqdm>4.29.0", "tensorboard", "fvcore>=0.1.5,<0.1.6"),
    *("iopath>=0.1.7,<0.2", "omegaconf>=2.1", "hydra-core>=1.1"),
)
PYPROJECT = f"""
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"

[project]
name = "detectron2"
version = "{VERSION}"
description = "Detectron2 v0.6 without its compiled extension, repaired for current libraries"
requires-python = ">=3.10"
dependencies = {json.dumps(DEPENDENCIES)}

[tool.setuptools.packages.find]
include = ["detectron2*"]

[tool.setuptools.package-data]
"detectron2" = ["REPAIRS.txt"]
"detectron2.model_zoo" = ["configs/**/*.yaml", "configs/**/*.py"]
"""
# Upstream's setup.py puts these projects inside the package in the same way.
PROJECTS = {
    "point_rend": "PointRend/point_rend",
    "deeplab": "DeepLab/deeplab",
    "panoptic_deeplab": "Panoptic-DeepLab/panoptic_deeplab",
}


class StepError(RuntimeError):
    """A step of the installation failed; the message names the step and says what to do."""


def _run(step: str, remedy: str, *command: str, cwd: Path | None = None) -> None:
    """Run a command quietly; on failure show the end of its output."""
    result = subprocess.run(
        command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if result.returncode:
        tail = "\n".join(result.stdout.splitlines()[-15:])
        raise StepError(f"{step} failed.\n{tail}\nWhat to do: {remedy}")


def installed_version() -> str | None:
    """The version of the Detectron2 that this Python would import; None without one."""
    if importlib.util.find_spec("detectron2") is None:
        return None
    try:
        return importlib.metadata.version("detectron2")
    except importlib.metadata.PackageNotFoundError:
        return "unknown (on PYTHONPATH, not installed)"


def check_environment(fetching: bool) -> None:
    """Refuse, before any work, an environment in which a later step would fail obscurely."""
    if not hasattr(tarfile, "data_filter"):
        raise StepError(
            f"Checking the environment: Python {sys.version.split()[0]} cannot unpack archives "
            "safely. What to do: use Python 3.10.12, 3.11.4, 3.12 or newer."
        )
    needed = ("setuptools", "wheel", "torch") if fetching else ("setuptools", "wheel")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise StepError(
            f"Checking the environment: {', '.join(missing)} not found in {sys.prefix}. "
            f"What to do: {sys.executable} -m pip install {' '.join(missing)}"
        )
    pip_version = importlib.metadata.version("pip")
    if fetching and tuple(int(x) for x in re.findall(r"\d+", pip_version)[:2]) >= (
        FIRST_REFUSING_PIP
    ):
        raise StepError(
            f"Checking the environment: pip {pip_version} refuses {SDIST}. "
            f"What to do: {sys.executable} -m pip install 'pip<26.3', or give --sdist FILE."
        )


def fetch_sdist(folder: Path) -> Path:
    """Download the source distribution into ``folder`` with pip, which checks the hash first."""
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{SDIST} --hash=sha256:{SDIST_SHA256}\n", encoding="utf-8")
    _run(
        f"Fetching {SDIST}",
        "check that pip can reach its package index (`pip config list`), or fetch the source "
        "distribution elsewhere and give it with --sdist FILE",
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation"),
        *("--disable-pip-version-check", "-r", str(requirement), "-d", str(folder)),
    )
    return next(folder.glob("*.tar.gz"))


def check_hash(sdist: Path) -> None:
    """Raise StepError unless ``sdist`` is the very file that the repairs were written for."""
    try:
        found = hashlib.sha256(sdist.read_bytes()).hexdigest()
    except OSError as error:
        raise StepError(
            f"Reading {sdist} failed: {error}. What to do: give --sdist a readable file."
        ) from error
    if found != SDIST_SHA256:
        raise StepError(
            f"Checking {sdist} failed: sha256 is {found}, not {SDIST_SHA256}. "
            f"What to do: delete it and fetch {SDIST} again."
        )


def unpack_and_repair(sdist: Path, folder: Path) -> Path:
    """Unpack into ``folder``, repair, and give it our build files. Returns the source tree."""
    try:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:  # among them members that lead out of the folder
        raise StepError(
            f"Unpacking {sdist} failed: {error}. What to do: delete it and fetch {SDIST} again."
        ) from error
    tree = next(path for path in folder.iterdir() if (path / "detectron2").is_dir())
    package = tree / "detectron2"
    for name, source in PROJECTS.items():
        shutil.copytree(tree / "projects" / source, package / "projects" / name)
    try:
        apply_repairs(package)
    except RepairError as error:
        raise StepError(
            f"Repairing the sources failed: {error}. What to do: this is a bug; please report it."
        ) from error
    init = package / "__init__.py"
    init.write_text(init.read_text().replace('"0.6"', f'"{VERSION}"'), encoding="utf-8")
    for name in ("setup.py", "setup.cfg"):
        (tree / name).unlink()
    (tree / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    return tree


def build_wheel(wheel_dir: Path, sdist: Path | None) -> Path:
    """Fetch (unless ``sdist`` is given), check, repair and build; the wheel lands in ``wheel_dir``.

    A wheel of the same version that is already there is returned as it is: its local version is a
    digest of the repairs, so it cannot be stale.
    """
    wheel = wheel_dir / WHEEL_NAME
    if wheel.exists():
        return wheel
    check_environment(fetching=sdist is None)
    with tempfile.TemporaryDirectory(prefix="detectron2-") as name:
        folder = Path(name)
        if sdist is None:
            print(f"fetching {SDIST}", flush=True)
            sdist = fetch_sdist(folder)
        check_hash(sdist)
        print(f"repairing and building detectron2 {VERSION}", flush=True)
        tree = unpack_and_repair(sdist, folder)
        _run(
            "Building the wheel",
            "check that setuptools is 64 or newer",
            *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"),
            *("--no-index", "-w", str(folder / "out"), str(tree)),
        )
        wheel_dir.mkdir(parents=True, exist_ok=True)
        partial = wheel.with_suffix(".partial")
        shutil.copyfile(folder / "out" / WHEEL_NAME, partial)
        os.replace(partial, wheel)
    return wheel


def missing_dependencies() -> list[str]:
    """Those of DEPENDENCIES of which no version is installed."""
    missing = []
    for requirement in DEPENDENCIES:
        try:
            importlib.metadata.version(re.split("[<>=]", requirement)[0])
        except importlib.metadata.PackageNotFoundError:
            missing.append(requirement)
    return missing


def install(wheel: Path) -> None:
    """Install the wheel, and of what it needs only what is not there.

    With make everything is there: requirements.txt has it in exact versions.
    """
    missing = missing_dependencies()
    if missing:
        print(f"installing what detectron2 needs: {', '.join(missing)}", flush=True)
        _run(
            "Installing what detectron2 needs",
            "check that pip can reach its package index (`pip config list`)",
            *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *missing),
        )
    _run(
        f"Installing {wheel.name}",
        f"see pip's message; {sys.prefix} must be writable",
        *(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--force-reinstall"),
        *("--disable-pip-version-check", str(wheel)),
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--force", action="store_true", help="replace an installed Detectron2")
    parser.add_argument("--wheel-dir", type=Path, help="keep the wheel here, and reuse it")
    parser.add_argument("--sdist", type=Path, help=f"a downloaded {SDIST}, instead of fetching it")
    parser.add_argument("--no-install", action="store_true", help="only build; needs --wheel-dir")
    args = parser.parse_args(arguments)
    if args.no_install and args.wheel_dir is None:
        parser.error("--no-install needs --wheel-dir, or the wheel would be thrown away")

    found = installed_version()
    ours = found is not None and found.startswith(LOCAL_VERSION_PREFIX)
    if not (args.no_install or args.force) and (found == VERSION or (found and not ours)):
        print(f"detectron2 {found} is installed; left alone (--force replaces it)")
        return 0
    with tempfile.TemporaryDirectory(prefix="detectron2-wheel-") as temporary:
        try:
            wheel = build_wheel(args.wheel_dir or Path(temporary), args.sdist)
            if args.no_install:
                print(f"built {wheel}")
            else:
                install(wheel)
                print(f"installed detectron2 {VERSION}")
        except StepError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
