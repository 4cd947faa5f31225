"""The installer of Detectron2, without the network: on a miniature of the source distribution."""

import hashlib
import importlib.metadata
import io
import re
import tarfile
import zipfile
from pathlib import Path

import detectron2_repairs
import install_detectron2
import pytest
from detectron2_repairs import ADDED_FILES, NOTICE, REPAIRS, RepairError, apply_repairs

# Just enough of each file for its repairs to fit; numbers of occurrences as in v0.6.
MINIATURE = {
    "__init__.py": '__version__ = "0.6"\n',
    "data/__init__.py": "",
    "data/build.py": "np.int\nnp.int\n",
    "data/common.py": "self._rng.sample(self._fallback_candidates, k=1)[0]\n",
    "data/datasets/__init__.py": "",
    "data/datasets/pascal_voc.py": "np.loadtxt(f, dtype=np.str)\n",
    "data/transforms/__init__.py": "",
    "data/transforms/transform.py": "interp=Image.LINEAR\n",
    "engine/__init__.py": "",
    "engine/hooks.py": "torch.optim.lr_scheduler._LRScheduler\n" * 2,
    "evaluation/__init__.py": "",
    "evaluation/coco_evaluation.py": (
        "from detectron2.evaluation.fast_eval_api import COCOeval_opt\n"
    ),
    "evaluation/fast_eval_api.py": "from detectron2 import _C\n",
    "evaluation/pascal_voc_evaluation.py": "np.bool\nnp.bool_\nnp.bool\n",
    "evaluation/sem_seg_evaluation.py": "np.int\n" * 2 + "np.float\n" * 5 + "np.float64\n",
    "export/__init__.py": "from .api import *\n",
    "layers/__init__.py": "",
    "layers/deform_conv.py": "from detectron2 import _C\n",
    "layers/mask_ops.py": "np.array(mask, copy=False)\n",
    "layers/nms.py": (
        "from torchvision.ops import nms  # BC-compat\n"
        "return torch.ops.detectron2.nms_rotated(boxes, scores, iou_threshold)\n"
    ),
    "layers/roi_align_rotated.py": "from detectron2 import _C\n",
    "layers/rotated_boxes.py": "from detectron2 import _C\n",
    "model_zoo/__init__.py": "",
    "model_zoo/configs/Base.yaml": "VERSION: 2\n",
    "model_zoo/model_zoo.py": (
        "import os\nimport pkg_resources\n"
        "def get_config_file(config_path):\n"
        "    cfg_file = pkg_resources.resource_filename(\n"
        '        "detectron2.model_zoo", os.path.join("configs", config_path)\n'
        "    )\n    return cfg_file\n"
    ),
    "projects/__init__.py": "import importlib\n",
    "structures/__init__.py": "",
    "structures/masks.py": "np.bool\n" * 3,
    "utils/__init__.py": "",
    "utils/collect_env.py": 'data.append(("detectron2._C", f"not built correctly: {e}"))\n',
    "utils/video_visualizer.py": "np.bool\n",
    "utils/visualizer.py": "np.bool\n" * 3 + "return modified_color\n",
}


def write_tree(package: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    package = tmp_path / "detectron2"
    write_tree(package, MINIATURE)
    return package


@pytest.fixture
def sdist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source distribution in miniature, whose hash the installer takes for the right one."""
    path = tmp_path / "pb1-detectron2-0.6.tar.gz"
    files = {f"detectron2/{name}": text for name, text in MINIATURE.items()}
    files |= {f"projects/{p}/__init__.py": "" for p in install_detectron2.PROJECTS.values()}
    files |= {"setup.py": "raise SystemExit('needs csrc')\n", "setup.cfg": "", "LICENSE": "text\n"}
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"pb1-detectron2-0.6/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(install_detectron2, "SDIST_SHA256", digest)
    return path


@pytest.mark.parametrize(
    ("file", "repaired"),
    [
        ("evaluation/pascal_voc_evaluation.py", "bool\nnp.bool_\nbool\n"),
        ("layers/rotated_boxes.py", "from detectron2.uncompiled import _C\n"),
        (
            "layers/nms.py",
            "from torchvision.ops import nms  # BC-compat\n\nfrom detectron2.uncompiled import _C\n"
            "return _C.nms_rotated(boxes, scores, iou_threshold)\n",
        ),
        ("engine/hooks.py", "torch.optim.lr_scheduler.LRScheduler\n" * 2),
        (
            "model_zoo/model_zoo.py",
            "import os\ndef get_config_file(config_path):\n    cfg_file = os.path.join("
            'os.path.dirname(os.path.abspath(__file__)), os.path.join("configs", config_path))\n'
            "    return cfg_file\n",
        ),
    ],
)
def test_repaired_text(package: Path, file: str, repaired: str) -> None:
    apply_repairs(package)
    assert (package / file).read_text() == NOTICE + repaired


def test_every_repair_is_recorded_with_its_reason(package: Path) -> None:
    apply_repairs(package)
    record = (package / "REPAIRS.txt").read_text().splitlines()
    assert {f"{repair.file}: {repair.why}" for repair in REPAIRS} < set(record)
    for name, text in ADDED_FILES.items():
        assert f"{name}: added" in record and (package / name).read_text() == text


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("data/build.py", "np.int\n", "data/build.py.* occurs 1 times, not 2"),
        ("engine/hooks.py", "torch.optim.lr_scheduler._LRScheduler\n" * 3, "3 times, not 2"),
        ("layers/nms.py", None, "layers/nms.py is missing"),
        ("uncompiled.py", "", "uncompiled.py is already there"),
    ],
)
def test_repairs_that_do_not_fit_change_nothing(
    package: Path, file: str, text: str | None, message: str
) -> None:
    if text is None:
        (package / file).unlink()
    else:
        (package / file).write_text(text)
    before = {path: path.read_text() for path in package.rglob("*.*")}
    with pytest.raises(RepairError, match=message):
        apply_repairs(package)
    assert {path: path.read_text() for path in package.rglob("*.*")} == before


def test_version_follows_the_repairs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = detectron2_repairs.repairs_digest()
    monkeypatch.setattr(detectron2_repairs, "REPAIRS", REPAIRS[1:])
    assert re.fullmatch("[0-9a-f]{8}", before)
    assert detectron2_repairs.repairs_digest() != before


def test_builds_a_pure_wheel_and_reuses_it(
    sdist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--no-install", "--wheel-dir", str(tmp_path / "wheels"), "--sdist", str(sdist)]
    assert install_detectron2.main(arguments) == 0, capsys.readouterr().err
    (wheel,) = (tmp_path / "wheels").iterdir()
    assert wheel.name == f"detectron2-{install_detectron2.VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
        init = content.read("detectron2/__init__.py").decode()
        (metadata,) = (content.read(n).decode() for n in names if n.endswith("/METADATA"))
    assert f'__version__ = "{install_detectron2.VERSION}"' in init
    assert f"Name: detectron2\nVersion: {install_detectron2.VERSION}\n" in metadata
    assert {
        "detectron2/uncompiled.py",
        "detectron2/REPAIRS.txt",
        "detectron2/model_zoo/configs/Base.yaml",
        "detectron2/projects/point_rend/__init__.py",
    } <= names
    assert any(name.endswith("LICENSE") for name in names)

    def refuse(*_: object) -> None:
        raise AssertionError("the kept wheel should have been reused")

    monkeypatch.setattr(install_detectron2, "unpack_and_repair", refuse)
    assert install_detectron2.main(arguments) == 0


@pytest.mark.parametrize(
    ("found", "arguments", "installs"),
    [
        (None, [], True),
        ("0.6", [], False),
        ("0.6+cu113", ["--force"], True),
        (install_detectron2.VERSION, [], False),
        (install_detectron2.VERSION, ["--force"], True),
        (f"{install_detectron2.LOCAL_VERSION_PREFIX}r00000000", [], True),
    ],
)
def test_an_installed_detectron2_is_left_alone(
    found: str | None, arguments: list[str], installs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[Path] = []
    monkeypatch.setattr(install_detectron2, "installed_version", lambda: found)
    monkeypatch.setattr(install_detectron2, "build_wheel", lambda *_: Path("some.whl"))
    monkeypatch.setattr(install_detectron2, "install", installed.append)
    assert install_detectron2.main(arguments) == 0
    assert bool(installed) == installs


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert install_detectron2.main(["--force", *arguments]) == 1
    return capsys.readouterr().err


def test_a_wrong_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.tar.gz"
    message = failure(capsys, "--sdist", str(path))
    assert "Reading" in message and str(path) in message and "What to do" in message
    path.write_bytes(b"something else")
    message = failure(capsys, "--sdist", str(path))
    assert hashlib.sha256(b"something else").hexdigest() in message
    assert install_detectron2.SDIST_SHA256 in message and "What to do" in message


def test_a_pip_that_would_refuse_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_detectron2.importlib.metadata, "version", lambda _: "26.3.1")
    message = failure(capsys)
    assert "pip 26.3.1 refuses" in message and "pip<26.3" in message


def test_a_missing_build_tool_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = install_detectron2.importlib.util.find_spec
    monkeypatch.setattr(
        install_detectron2.importlib.util,
        "find_spec",
        lambda name: None if name == "wheel" else find_spec(name),
    )
    assert "wheel not found" in failure(capsys)


def test_an_unreachable_index_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    message = failure(capsys)
    assert "Fetching pb1-detectron2==0.6 failed" in message and "--sdist FILE" in message


def test_what_detectron2_needs_is_installed_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An environment of one's own has PyTorch, and perhaps nothing else."""
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        install_detectron2, "_run", lambda step, remedy, *command: ran.append(command)
    )
    install_detectron2.install(Path("some.whl"))
    assert [command[-1] for command in ran] == ["some.whl"]

    version = importlib.metadata.version

    def without_fvcore(name: str) -> str:
        if name == "fvcore":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(install_detectron2.importlib.metadata, "version", without_fvcore)
    install_detectron2.install(Path("some.whl"))
    assert [command[-1] for command in ran[1:]] == ["fvcore>=0.1.5,<0.1.6", "some.whl"]
    assert "installing what detectron2 needs: fvcore" in capsys.readouterr().out
