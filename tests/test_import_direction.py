"""The rooms of the house are entered one way only (a later room imports an earlier one)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GROUND = (
    "errors",
    "file_lock",
    "files",
    "randomness",
    "compat",
    "structures",
    "tensor_files",
    "torchscript_archive",
)
ROOMS = (
    "config",
    "vocabulary",
    "data",
    "layers",
    "backbones",
    "losses",
    "inference",
    "checkpoint",
    "models",
    "engine",
    "evaluation",
    "visualize",
    "prediction",
    "runtime",
    "export",
    "reports",
    "tuning",
    "apps",
    "projects",
    "bench",
    "commands",
)


def imported_modules(source: str) -> set[str]:
    """Absolute names of all modules that ``source`` imports, at any depth of nesting.

    ``from a import b`` counts as ``a.b``, since b may be a module. Relative imports are refused, so
    that none can go unseen.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write the full name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def forbidden(path: str, source: str) -> list[str]:
    """The imports of the file ``path`` (relative to the root) that break the direction."""
    names = imported_modules(source)
    if path.startswith("ops/"):
        return sorted(n for n in names if n.split(".")[0] in ("pading", "detectron2"))
    if not path.startswith("pading/"):
        return []
    tops = {n: n.split(".")[1] for n in names if n.startswith("pading.")}
    room = Path(path).parts[1].removesuffix(".py")
    # What is no room (the package's own __init__) may import them all.
    own = ("__version__",)  # the package's own, which loads nothing
    allowed = (*own, *GROUND, *(ROOMS[: ROOMS.index(room) + 1] if room in ROOMS else ROOMS))
    if room in ("reports", "apps"):
        # What is looked at must not depend on how it was trained.
        allowed = tuple(name for name in allowed if name != "engine")
    if room in GROUND:
        allowed = GROUND
    outside = {n.split(".")[0] for n in names} & {"tools", "datasets", "tests"}
    return sorted(outside) + sorted(n for n, top in tops.items() if top not in allowed)


SOURCES = sorted([*ROOT.glob("pading/**/*.py"), *ROOT.glob("ops/**/*.py")])


def test_sources_are_found() -> None:
    rooms = {path.relative_to(ROOT).parts[1].removesuffix(".py") for path in SOURCES}
    assert {*ROOMS, *GROUND, "pading_ops"} <= rooms


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    assert forbidden(relative, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source", "broken"),
    [
        ("pading/data/x.py", "from pading.models import y", ["pading.models.y"]),
        ("pading/data/x.py", "def f():\n    import pading.engine.z", ["pading.engine.z"]),
        ("pading/data/x.py", "from pading import losses", ["pading.losses"]),
        ("pading/apps/x.py", "import pading.engine.setup", ["pading.engine.setup"]),
        (
            "pading/config/__init__.py",
            "from pading.vocabulary.splits import s",
            ["pading.vocabulary.splits.s"],
        ),
        ("pading/errors.py", "from pading.config import c", ["pading.config.c"]),
        ("pading/evaluation/x.py", "import tools.train_net", ["tools"]),
        ("pading/models/x.py", "import pading.visualize", ["pading.visualize"]),
        ("ops/pading_ops/x.py", "from detectron2.layers import cat", ["detectron2.layers.cat"]),
        ("ops/pading_ops/x.py", "import pading", ["pading"]),
        ("pading/evaluation/x.py", "from pading.data import d\nfrom pading.errors import e", []),
        ("pading/visualize/x.py", "from pading.evaluation import e", []),
        ("pading/evaluation/x.py", "import pading.prediction", ["pading.prediction"]),
    ],
)
def test_a_break_is_seen(path: str, source: str, broken: list[str]) -> None:
    assert forbidden(path, source) == broken


def test_no_file_is_too_long_and_no_two_share_a_name() -> None:
    package = [path for path in SOURCES if "pading_ops" not in path.parts]
    long = [str(p) for p in package if len(p.read_text(encoding="utf-8").splitlines()) > 300]
    assert long == []
    names = [path.name for path in package if path.name != "__init__.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []
