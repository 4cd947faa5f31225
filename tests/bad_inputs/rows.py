"""What a row of the tables of bad inputs is, and how each is tried."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pading.engine.loop import TrainingLoop
from tests.bad_inputs.world import World

# What a run that has got as far as its model leaves beside its results.
_RECORDS = ("run.lock", "log.txt", "config.yaml", "run.json", "metrics.json")
Run = Callable[[World], None]


def nothing(world: World) -> None:
    """Leave the world as it is."""


def train(*more: object, task: str = "panoptic", stage: str = "pretrain") -> Run:
    """Train on the spoilt world; {root} in the overrides stands for its folder."""

    def run(world: World) -> None:
        world.train(
            *(str(m).replace("{root}", str(world.root)) for m in more), task=task, stage=stage
        )

    return run


@dataclass(frozen=True)
class Row:
    """One thing that is wrong with an otherwise good world, and the words that it is met with."""

    what: str
    spoil: Callable[[World], object]
    culprit: str
    """Stands in the message: the file, key or value."""
    remedy: str
    """Stands in the message: what to do."""
    run: Run = train()
    """The entry point, as from the command line."""


def table(rows: Sequence[Row]) -> pytest.MarkDecorator:
    """Parametrise a test by rows, which have different names."""
    names = [row.what for row in rows]
    assert len(set(names)) == len(names)
    return pytest.mark.parametrize("row", rows, ids=names)


def check_refusal(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and one error that names culprit and remedy, before a step or an output."""
    row.spoil(world)
    before = files(world.root)
    with no_training_step(), pytest.raises(SystemExit) as exit_info:
        row.run(world)
    assert exit_info.value.code == 2
    stderr = capsys.readouterr().err
    assert "Traceback" not in stderr
    assert stderr.count("error: ") == 1, stderr
    message = stderr.split("error: ")[1]
    assert row.culprit in message, message
    assert row.remedy in message, message
    after = files(world.root)
    assert after == before, sorted(after.keys() ^ before.keys())


@contextmanager
def no_training_step() -> Iterator[None]:
    """Fail where a training step is reached."""

    def run_step(_: TrainingLoop) -> None:
        raise AssertionError("a training step was reached")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingLoop, "run_step", run_step)
        yield


def files(root: Path) -> dict[Path, str]:
    """Digests of all files below a folder but the records that a run keeps of itself.

    A preparation's manifest is one: it says what the maps that it keeps were made of.
    """
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.name not in _RECORDS
        and not path.name.startswith("events.out.tfevents.")  # TensorBoard's
        and b'"sources"' not in path.read_bytes()
    }
