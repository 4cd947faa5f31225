"""Build of ``pading`` and ``pading_ops``: their packages and the op's extension.

Environment variables:
    BUILD_OPS: 1 (default) builds the extension; 0 leaves it out: the op is then plain PyTorch.
    BUILD_CUDA: auto (default) builds the CUDA kernels where a CUDA compiler and a PyTorch for the
        same CUDA are; 1 insists; 0 leaves them out.
    TORCH_CUDA_ARCH_LIST: GPU architectures, such as "8.0;9.0+PTX". Default: the present GPU's, else
        those, with PTX for newer ones.
    CXX, MAX_JOBS: as PyTorch's own builds read them.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import find_namespace_packages, setup


def find_toolkit() -> None:
    """Set CUDA_HOME if unset: nvcc knows its place also where a script or a link leads to it."""
    nvcc = shutil.which("nvcc")
    if nvcc and not os.environ.get("CUDA_HOME") and not os.environ.get("CUDA_PATH"):
        command = [nvcc, "--dryrun", "-E", "-x", "cu", os.devnull]
        report = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        place = re.search(r"_HERE_=(.*)/bin$", report, re.MULTILINE)
        if place:
            os.environ["CUDA_HOME"] = place[1]


find_toolkit()  # before PyTorch looks for it

try:
    import torch
    from torch.utils import cpp_extension
except ImportError as error:
    raise SystemExit(
        f"setup.py: cannot import torch ({error}). The op is compiled against the PyTorch that "
        "will run it: install torch, then run `pip install --no-build-isolation .`"
    ) from error

ROOT = Path(__file__).resolve().parent
SOURCES = Path("ops/csrc")  # relative, as setuptools wants it
DEFAULT_ARCHITECTURES = "8.0;9.0+PTX"


def setting(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """An environment variable that takes one of a few values."""
    value = os.environ.get(name) or default
    if value not in allowed:
        raise SystemExit(f"setup.py: {name} is {value!r}; use one of {', '.join(allowed)}")
    return value


def say(message: str) -> None:
    """One line to the person who builds."""
    print(f"pading_ops: {message}", file=sys.stderr)


def reason_against_cuda() -> str | None:
    """Why the CUDA kernels cannot be built here, or None where they can."""
    if torch.version.cuda is None:
        return "this PyTorch is built without CUDA"
    if not cpp_extension.CUDA_HOME:
        return "no CUDA toolkit found; CUDA_HOME may name one"
    home = Path(cpp_extension.CUDA_HOME)
    nvcc = home / "bin" / "nvcc"
    for needed in (nvcc, home / "include" / "cuda_runtime.h"):
        if not needed.is_file():
            return f"the CUDA toolkit has no {needed}"
    run = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return f"{nvcc} does not run"
    release = re.search(r"release (\d+)", run.stdout)
    if not release or release[1] != torch.version.cuda.split(".")[0]:
        found = release[1] if release else "unknown"
        return f"nvcc is of CUDA {found}, PyTorch of CUDA {torch.version.cuda}"
    return None


def wants_cuda() -> bool:
    """Whether to build the CUDA kernels; says so where it does not."""
    choice = setting("BUILD_CUDA", "auto", ("auto", "0", "1"))
    if choice == "0":
        say("BUILD_CUDA=0: building for the CPU alone")
        return False
    reason = reason_against_cuda()
    if reason is None:
        return True
    if choice == "1":
        raise SystemExit(f"setup.py: BUILD_CUDA=1, but {reason}")
    say(f"building for the CPU alone: {reason}")
    return False


def extension() -> "cpp_extension.CppExtension":
    """The one extension module, with or without its CUDA part."""
    sources = [*SOURCES.glob("*.cpp"), *SOURCES.glob("cpu/*.cpp")]
    # Nobody looks at errno or floating-point traps; with them, rounding is not vectorised.
    flags = {"cxx": ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wno-psabi"]}
    link = []
    if sys.platform.startswith("linux"):
        # at::parallel_for is a template: its OpenMP pragma is compiled here.
        flags["cxx"].append("-fopenmp")
        link.append("-fopenmp")
    kind = cpp_extension.CppExtension
    if wants_cuda():
        kind = cpp_extension.CUDAExtension
        sources += [*SOURCES.glob("cuda/*.cpp"), *SOURCES.glob("cuda/*.cu")]
        flags["nvcc"] = [
            "-O3",
            "-Xptxas",
            "-v" if os.environ.get("PTXAS_VERBOSE") else "-warn-spills",
        ]
        if not os.environ.get("TORCH_CUDA_ARCH_LIST") and not torch.cuda.is_available():
            os.environ["TORCH_CUDA_ARCH_LIST"] = DEFAULT_ARCHITECTURES
    return kind(
        "pading_ops._C",
        sorted(str(path) for path in sources),
        extra_compile_args=flags,
        extra_link_args=link,
        py_limited_api=True,
    )


def extensions() -> list["cpp_extension.CppExtension"]:
    """The extension, or nothing with BUILD_OPS=0."""
    if setting("BUILD_OPS", "1", ("0", "1")) == "1":
        return [extension()]
    say("BUILD_OPS=0: the op will be the plain PyTorch version")
    # What an earlier build left in place would be found by the package.
    for stale in (ROOT / "ops" / "pading_ops").glob("_C*.so"):
        stale.unlink()
    return []


def packages() -> list[str]:
    """``pading``, ``pading_ops``, and the folders of configs/ below ``pading.configs``."""
    configurations = [path for path in (ROOT / "configs").rglob("*") if path.is_dir()]
    names = [".".join(path.relative_to(ROOT).parts) for path in configurations]
    return [
        *find_namespace_packages(include=["pading", "pading.*"]),
        "pading_ops",
        "pading.configs",
        *sorted(f"pading.{name}" for name in names),
    ]


# What is not here is in pyproject.toml.
setup(
    packages=packages(),
    package_dir={"": ".", "pading_ops": "ops/pading_ops", "pading.configs": "configs"},
    package_data={
        "pading.vocabulary": ["splits/*.json", "vectors/*", "prompts/*.json", "folds/*.json"],
        "pading.apps": ["static/*"],
        "pading.reports": ["templates/*.jinja"],
        "": ["*.yaml"],
    },
    ext_modules=extensions(),
    cmdclass={"build_ext": cpp_extension.BuildExtension},
    zip_safe=False,
)
