"""Training batches are a function of seed and iteration, whoever loads them."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from detectron2.utils import comm

from pading.data.batches import TrainingBatches
from pading.errors import InputError

SIZE, BATCH = 10, 4


def augment(entry: dict) -> dict:
    return {**entry, "drawn": float(np.random.rand())}


def batches(seed: int, **more) -> TrainingBatches:
    entries = [{"number": number} for number in range(SIZE)]
    return TrainingBatches(entries, augment, **{"seed": seed, "images_per_batch": BATCH, **more})


def test_every_epoch_holds_every_image_once(seed: int) -> None:
    numbers = [n for batch in islice(batches(seed).numbers(), 5) for n in batch]
    epochs = numbers[:SIZE], numbers[SIZE:]
    assert [sorted(epoch) for epoch in epochs] == [list(range(SIZE))] * 2
    assert epochs[0] != epochs[1]


def test_batches_can_begin_anywhere(seed: int) -> None:
    whole = list(islice(batches(seed).starting_at(0), 8))
    assert list(islice(batches(seed).starting_at(3), 5)) == whole[3:]
    assert list(islice(batches(seed, num_workers=2).starting_at(3), 5)) == whole[3:]
    drawn = [entry["drawn"] for batch in whole for entry in batch]
    assert len(set(drawn)) == len(drawn)
    assert list(islice(batches(seed + 1).starting_at(0), 8)) != whole


@pytest.fixture(params=["fork", "forkserver"])
def start_method(request: pytest.FixtureRequest) -> Iterator[None]:
    """How workers start: the usual way, and that of a run of several processes on the CPU."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(request.param, force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("start_method")
def test_workers_outlive_the_signals_that_stop_a_run(seed: int) -> None:
    """Those go to all of its processes, but one of them has yet to write a checkpoint."""
    whole = list(islice(batches(seed).starting_at(0), 8))
    others = set(multiprocessing.active_children())
    loaded = batches(seed, num_workers=2).starting_at(0)
    found = list(islice(loaded, 2))
    workers = [child for child in multiprocessing.active_children() if child not in others]
    for number in (signal.SIGINT, signal.SIGTERM):
        for worker in workers:
            # From elsewhere, as Slurm would: what the parent sends is for the worker alone.
            os.spawnlp(os.P_WAIT, "kill", "kill", f"-{int(number)}", str(worker.pid))
    found += islice(loaded, 6)
    assert found == whole
    assert len(workers) == 2
    assert all(worker.is_alive() for worker in workers)
    workers[0].terminate()
    workers[0].join(10)
    assert workers[0].exitcode == 0
    del loaded
    workers[1].join(10)
    assert workers[1].exitcode == 0


def test_processes_share_the_batch_of_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(islice(batches(seed).starting_at(2), 4))
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        shares.append(list(islice(batches(seed).starting_at(2), 4)))
    assert [one + other for one, other in zip(*shares, strict=True)] == whole


def test_wide_images_are_among_themselves(seed: int) -> None:
    wide = [number % 3 == 0 for number in range(SIZE)]
    met = []
    for batch in islice(batches(seed, wide=wide).numbers(), 20):
        assert len({wide[number] for number in batch}) == 1
        met += batch
    assert set(met) == set(range(SIZE))
    # Nothing is drawn more often than the number of epochs says; images wait at most for a batch.
    assert max(np.bincount(met)) - min(np.bincount(met)) <= 2


def test_a_batch_that_cannot_be_shared(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    with pytest.raises(InputError, match="IMS_PER_BATCH is 4, but it is shared by 3 processes"):
        batches(seed)
