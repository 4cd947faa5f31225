"""Prediction in shares and in pieces: the results of one process that is left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pading.commands import predict
from pading.data.formats.recognise import read_annotations
from pading.prediction.journal import Journal, share
from pading.prediction.writing import Record
from tests.narrow import SHAPES, save_random_weights

ROOT = Path(__file__).resolve().parents[2]
IMAGES = 11
"""As many starts as that are killed ten times."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(0)
    for number in range(IMAGES):
        pixels = draw.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> list[str]:
    from tests.narrow import NARROW_OVERRIDES

    weights = save_random_weights(tmp_path_factory.mktemp("weights"))
    pairs = ["MODEL.WEIGHTS", str(weights), "MODEL.INFERENCE.INSTANCE_ON", "True"]
    tail = [*NARROW_OVERRIDES, *pairs, "DATALOADER.NUM_WORKERS", "0"]
    return ["--config-file", str(SHAPES), "--input", str(photographs), "--no-overlays", *tail]


def run(command: list[str], output: Path) -> int:
    place = command.index("--no-overlays")
    with pytest.raises(SystemExit) as ended:  # one image is broken
        predict.main([*command[:place], "--output", str(output), *command[place:]])
        raise SystemExit(0)
    return int(ended.value.code or 0)


def contents(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for name, p in found.items() if not name.startswith(".")}


@pytest.fixture(scope="module")
def alone(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("alone")
    assert run(command, output) == 1
    assert not (output / ".progress").exists()
    return contents(output)


def test_two_shares_are_the_whole(
    command: list[str], alone: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        # The one that is done first does not fail for an image: torchrun would end the other.
        assert run(command, tmp_path) == (rank == "0")
        assert (tmp_path / "instance.json").is_file() == (rank == "0")
    assert contents(tmp_path) == alone
    assert run(command, tmp_path) == 1  # said again, it finds that all is there
    assert contents(tmp_path) == alone


def test_killed_again_and_again(
    command: list[str], alone: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every start ends after one image more, until all are done; none is predicted twice."""
    from pading.prediction.predictor import Predictor

    class Killed(BaseException):
        pass

    infer, starts, calls = Predictor.infer, 0, 0

    def one_alone(self, inputs, keep_scores=False):
        nonlocal calls
        calls += 1
        if calls > starts + 1:
            raise Killed
        return infer(self, inputs, keep_scores)

    monkeypatch.setattr(Predictor, "infer", one_alone)
    while True:
        calls = starts
        try:
            run(command, tmp_path)
            break
        except Killed:
            starts += 1
            calls = starts
            # The line that it died in is broken off.
            newest = max((tmp_path / ".progress").glob("*.jsonl"), key=lambda p: p.stat().st_mtime)
            newest.write_text(newest.read_text() + '{"name": "3", "rec')
        assert starts < 2 * IMAGES
    assert starts == IMAGES - 1 == 10
    assert contents(tmp_path) == alone


@pytest.mark.slow
def test_torchrun_starts_killed_processes_again(
    command: list[str], alone: dict[str, bytes], tmp_path: Path
) -> None:
    """One of two ends by SIGKILL, from outside; both go on where they were."""
    place = command.index("--no-overlays")
    words = [*command[:place], "--output", str(tmp_path), *command[place:]]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    options = ["--max-restarts=1", "--monitor-interval=0.1", "--master-port=0"]
    process = subprocess.Popen(
        [*torchrun, *options, str(ROOT / "tools" / "predict.py"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(tmp_path.glob(".progress/*.jsonl")):
        time.sleep(0.02)
    first = next(tmp_path.glob(".progress/*.jsonl"))
    os.kill(int(first.name.split("-")[1]), signal.SIGKILL)
    process.wait()
    assert len({path.name for path in tmp_path.glob("panoptic/*.png")}) == IMAGES
    assert contents(tmp_path) == alone


def test_what_another_run_left_does_not_count(tmp_path: Path) -> None:
    record = Record({"id": 1}, None, [{"score": 0.5}])
    first = Journal(tmp_path, "one", 0, 1)
    assert first.begin() is None
    first.add("a", record)
    again, other = Journal(tmp_path, "one", 0, 1), Journal(tmp_path, "two", 0, 1)
    assert again.begin() is None and other.begin() is None
    assert again.mine(["a", "b"]) == [1]
    assert other.mine(["a", "b"]) == [0, 1]
    with again.finishing(["a"]) as records:
        assert records is not None
        assert list(records) == [(record, "")]


def test_share(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)
    assert share() == (0, 1)
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert share() == (0, 1), "a batch script"
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    assert share() == (3, 4)


def test_json_of_one_process(alone: dict[str, bytes]) -> None:
    panoptic = json.loads(alone["panoptic.json"])
    assert len(panoptic["images"]) == IMAGES


def test_other_forms(command: list[str], tmp_path: Path, photographs: Path) -> None:
    place = command.index("--no-overlays")
    forms = ["--format", "yolo", "label_maps", "datumaro", "--min-score", "0"]
    run([*command[:place], *forms, *command[place:]], tmp_path)
    for folder, ending in (("yolo", "txt"), ("label_maps", "png"), ("datumaro/items", "json")):
        assert len(list((tmp_path / folder).glob(f"*.{ending}"))) == IMAGES
    # One export of all images, which is read as any other is.
    found = read_annotations(tmp_path / "datumaro", photographs)["train"]
    assert not found.faults
    names = {image["file_name"] for image in found.content["images"]}
    assert names == {f"{number}.png" for number in range(IMAGES)}
    detections = json.loads((tmp_path / "instance.json").read_text())
    assert len(found.content["annotations"]) == len(detections) > 0
