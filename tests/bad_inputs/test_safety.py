"""Files that try to do more than be read (SECURITY.md)."""

import ast
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import install_detectron2
import pytest

from pading.commands import train as train_net
from tests import runs
from tests.bad_inputs.rows import Row, check_refusal, nothing, table, train
from tests.bad_inputs.world import World

_OUT = "name the file relative to that folder"
_INSTANCE = train(task="instance")
_FILES = ("panoptic.json", "instances.json")
# Names that reach files which exist, so that only where they are speaks against them.
_ESCAPES = (
    "../maps/0.png",
    "../../../../../../../../etc/passwd",
    "/etc/passwd",
    "x/../../maps/0.png",
)


def _named(part: str, name: str) -> Callable[[World], object]:
    def change(content: Any) -> None:
        content[part][0]["file_name"] = name

    return lambda world: [world.edit(file, change) for file in _FILES]


PATHS = [
    *(
        Row(f"image {name}", _named("images", name), f"{name!r} leads out of", _OUT)
        for name in _ESCAPES
    ),
    *(
        Row(f"labels {name}", _named("annotations", name), f"{name!r} leads out of", _OUT)
        for name in _ESCAPES
    ),
    Row("image of instances", _named("images", _ESCAPES[0]), "leads out of", _OUT, _INSTANCE),
    Row("null in a name", _named("images", "a\0.jpg"), r"'a\x00.jpg' leads out of", _OUT),
    Row(
        "name of a prediction",
        lambda w: w.edit("panoptic.json", lambda c: c["images"][0].update(id="../../x")),
        "the image id '../../x' must serve as a file's name",
        "write it without slashes",
    ),
]


@table(PATHS)
def test_no_path_leads_out(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)


_TAG = "!!python/object/apply:os.mkdir [{made}]"
_OBJECT = "!!python/object/new:pathlib.Path [{made}]"


def _with_config(world: World) -> None:
    runs.run(train_net.main, "--config-file", world.path("config.yaml"))


def _write(name: str, text: str) -> Callable[[World], object]:
    return lambda w: w.path(name).write_text(text.replace("{made}", str(w.path("made"))))


def _with_base(world: World) -> None:
    _write("config.yaml", "_BASE_: base.yaml")(world)
    _write("base.yaml", f"OUTPUT_DIR: {_TAG}")(world)


_REMEDY = "correct it there"
YAML = [
    Row(
        "configuration",
        _write("config.yaml", f"OUTPUT_DIR: {_TAG}"),
        "config.yaml: not a plain",
        _REMEDY,
        _with_config,
    ),
    Row(
        "object",
        _write("config.yaml", f"OUTPUT_DIR: {_OBJECT}"),
        "config.yaml: not a plain",
        _REMEDY,
        _with_config,
    ),
    Row("base", _with_base, "base.yaml: not a plain YAML file", _REMEDY, _with_config),
    Row(
        "data sets",
        _write("data.yaml", f"- name: {_TAG}"),
        "data.yaml: not a plain YAML file",
        _REMEDY,
    ),
    Row(
        "command line",
        nothing,
        "SOLVER.MAX_ITER is",
        "a int such as",
        train("SOLVER.MAX_ITER", "__import__('os').mkdir('{root}/made')"),
    ),
]


@table(YAML)
def test_no_code_of_a_file_runs(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)
    assert not world.path("made").exists()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    "members",
    [
        [_member("../escaped")],
        [_member("tree/detectron2/link", tarfile.SYMTYPE, "../../../escaped")],
        [_member("tree/out", tarfile.SYMTYPE, ".."), _member("tree/out/../../escaped")],
        [_member("tree/pipe", tarfile.FIFOTYPE)],
    ],
    ids=["climbs", "link", "through a link", "pipe"],
)
def test_no_archive_is_unpacked_outside(members: list[tarfile.TarInfo], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "sdist.tar.gz", "w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO())
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(install_detectron2.StepError, match="Unpacking .*What to do: delete it"):
        install_detectron2.unpack_and_repair(tmp_path / "sdist.tar.gz", folder)
    assert {path.name for path in tmp_path.iterdir()} == {"sdist.tar.gz", "folder"}


def _calls(path: Path) -> list[str]:
    """Calls in a source file, as written up to the bracket, with the names of their keywords."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            keywords = ",".join(f"{k.arg}={ast.unparse(k.value)}" for k in node.keywords)
            found.append(f"{ast.unparse(node.func)}({keywords})")
    return found


def test_no_trusting_reader_is_called() -> None:
    """Every reader that could run code or unpack anywhere is called in its careful form."""
    sources = [
        p for folder in ("pading", "tools", "datasets") for p in (runs.ROOT / folder).rglob("*.py")
    ]
    assert len(sources) > 60
    for path in sources:
        for call in _calls(path):
            name, _, keywords = call.partition("(")
            place = f"{path.relative_to(runs.ROOT)}: {call}"
            assert name not in (
                "yaml.load",
                "yaml.unsafe_load",
                "yaml.full_load",
                "eval",
                "exec",
            ), place
            assert name not in ("pickle.load", "pickle.loads", "joblib.load", "dill.load"), place
            assert not name.endswith((".merge_from_file", ".load_yaml_with_base")), place
            if name == "torch.load":
                assert "weights_only=True" in keywords, place
            if name == "np.load":
                assert "allow_pickle=True" not in keywords, place
            if name.endswith(".extractall"):
                assert "filter='data'" in keywords, place
