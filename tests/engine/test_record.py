"""What a run writes of itself, and what it refuses to be resumed as."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pading
from pading.engine import record
from pading.errors import InputError
from pading.vocabulary.class_vectors import ClassVectors, read_class_vectors
from pading.vocabulary.splits import load_split
from tests.runs import ROOT

CONFIG = ROOT / "configs" / "shapes" / "PADing.yaml"


@pytest.fixture
def cfg(tiny_scenes: Path, tmp_path: Path):
    cfg = pading.load_config(str(CONFIG), ["OUTPUT_DIR", str(tmp_path / "run")])
    pading.register_datasets(cfg)
    return cfg


def content(cfg) -> dict:
    return json.loads((Path(cfg.OUTPUT_DIR) / "run.json").read_text())


def test_the_record_says_what_ran(cfg) -> None:
    run = record.begin(cfg, resume=False)
    found = content(cfg)
    assert found["run"] == run == record.run_of(cfg)
    assert found["stage"] == "PADing"
    split = load_split("shapes")
    assert found["split"]["classes"] == list(split.names)
    assert len(found["split"]["unseen"]) == split.num_unseen
    assert len(found["class_vectors"]["checksum"]) == 64
    [start] = found["starts"]
    assert start["configuration"]["SOLVER"]["MAX_ITER"] == cfg.SOLVER.MAX_ITER
    assert set(start["versions"]) >= {"pading", "torch", "cuda", "detectron2"}
    git = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if git.returncode == 0:
        assert start["git"]["commit"] == git.stdout.strip()
    else:
        assert start["git"] is None


def test_resuming_adds_to_the_record_and_starting_anew_replaces_it(cfg) -> None:
    run = record.begin(cfg, resume=False)
    assert record.begin(cfg, resume=True) == run
    assert [start["resume"] for start in content(cfg)["starts"]] == [False, True]
    last = Path(cfg.OUTPUT_DIR) / "last_checkpoint"
    last.write_text("model_final.pth")
    assert record.begin(cfg, resume=False) != run
    assert len(content(cfg)["starts"]) == 1
    assert not last.exists()


def rewritten(cfg, change) -> None:
    found = content(cfg)
    change(found)
    (Path(cfg.OUTPUT_DIR) / "run.json").write_text(json.dumps(found))


def test_other_classes_are_refused_by_name(cfg) -> None:
    record.begin(cfg, resume=False)
    rewritten(cfg, lambda found: found["split"]["classes"].append("purple torus"))
    with pytest.raises(InputError, match=r"only before: purple torus"):
        record.check_resumable(cfg)


def test_another_split_of_the_same_classes_is_refused(cfg) -> None:
    record.begin(cfg, resume=False)
    name = content(cfg)["split"]["unseen"][0]
    rewritten(cfg, lambda found: found["split"]["unseen"].remove(name))
    with pytest.raises(InputError, match=f"unseen classes.*only now: {name}"):
        record.check_resumable(cfg)


def test_other_vectors_are_refused(cfg, tmp_path: Path) -> None:
    record.begin(cfg, resume=False)
    vectors = read_class_vectors("shapes_minilm")
    same, other = tmp_path / "same.npz", tmp_path / "other.npz"
    ClassVectors(vectors.names, vectors.vectors, "a copy").save(same)
    ClassVectors(vectors.names, vectors.vectors + np.float32(1e-3), "moved").save(other)
    cfg.MODEL.CLASS_VECTORS = str(same)
    assert record.check_resumable(cfg)
    cfg.MODEL.CLASS_VECTORS = str(other)
    with pytest.raises(InputError, match="MODEL.CLASS_VECTORS was 'shapes_minilm'"):
        record.check_resumable(cfg)


def test_another_stage_is_refused(cfg) -> None:
    record.begin(cfg, resume=False)
    cfg.MODEL.META_ARCHITECTURE = "Mask2Former"
    with pytest.raises(InputError, match="META_ARCHITECTURE was PADing, now Mask2Former"):
        record.check_resumable(cfg)


def test_a_spoilt_record_is_named(cfg) -> None:
    assert record.check_resumable(cfg) is None
    record.begin(cfg, resume=False)
    rewritten(cfg, lambda found: found.pop("split"))
    with pytest.raises(InputError, match="run.json: 'split'.* is missing"):
        record.check_resumable(cfg)


def test_only_what_writers_of_this_run_left_is_removed(cfg) -> None:
    folder = Path(cfg.OUTPUT_DIR)
    mine = [".model_0000001.17.partial.pth", "embeddings/.00000.17.partial.safetensors"]
    mine.append("inference/few/.results.17.partial.json")
    other = folder / "another_run" / ".model_0000001.18.partial.pth"  # at work, perhaps
    for path in [*(folder / name for name in mine), other]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    record.begin(cfg, resume=True)
    assert [name for name in mine if (folder / name).exists()] == []
    assert other.exists()


def test_one_run_at_a_time_in_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pading.engine.record import alone_in\n"
        "with alone_in(sys.argv[1]): print('holds', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"holds\n"
        second = record.alone_in(str(tmp_path))
        with pytest.raises(InputError, match="another run is training there"), second:
            pass
        other.kill()
    with record.alone_in(str(tmp_path)):
        assert (tmp_path / record.LOCK_FILE).is_file()
