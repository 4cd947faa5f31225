"""What of many images is done: a killed run goes on, and several processes share the work.

Each process writes a line for every image that it has finished into a file of its own. Whoever
finds all images done, under a lock, puts the results in common together; nobody waits for anybody.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pading.errors import InputError
from pading.prediction.writing import Record

_FOLDER, _LOCK, _DONE = ".progress", "lock", "done"


def share() -> tuple[int, int]:
    """Which process of how many this is, as torchrun or Slurm (srun) says; (0, 1) without them.

    Raises:
        InputError: only half of what they set is there.
    """
    for rank, count in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        names = {rank, count} & os.environ.keys()
        if rank == "SLURM_PROCID" and "SLURM_STEP_ID" not in os.environ:
            continue  # a batch script itself, which srun has not started
        if len(names) == 1:
            raise InputError(f"environment: {names.pop()} is set, but not its fellow; unset it")
        if names:
            return int(os.environ[rank]), int(os.environ[count])
    return 0, 1


def local_rank() -> int:
    """Which process of its machine this is, and so which GPU is its own."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))


def identity_of(**parts: Any) -> str:
    """What a run must have in common with an earlier one, to go on with it."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Journal:
    """The progress of one run.

    Args:
        folder: of the results.
        identity: of the run; what others have left is passed over.
        process, processes: of :func:`share`.
    """

    def __init__(self, folder: Path, identity: str, process: int, processes: int) -> None:
        self._folder = folder / _FOLDER
        self._identity = identity
        self._process, self._processes = process, processes
        self._places: dict[str, tuple[Path, int]] = {}
        self._file: Any = None

    def begin(self) -> list[str] | None:
        """Read what is done.

        Returns:
            None: there is work left; else what was wrong with images, of a run that several
            processes have finished and put together already.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            done = self._folder / _DONE
            content = _parsed(done.read_bytes()) if done.is_file() else {}
            if content.get("identity") == self._identity and self._processes > 1:
                return content["problems"]
            if done.is_file():
                done.unlink()
            self._read()
        return None

    def mine(self, names: Sequence[str]) -> list[int]:
        """Places of the images that are left to this process."""
        places = range(self._process, len(names), self._processes)
        return [place for place in places if names[place] not in self._places]

    def add(self, name: str, record: Record | None, problem: str = "") -> None:
        """Note that an image is done, or why it cannot be."""
        if self._file is None:
            path = self._folder / f"{self._process}-{os.getpid()}-{time.time_ns()}.jsonl"
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (for the whole run)
            self._write({"identity": self._identity})
        content = None if record is None else asdict(record)
        self._write({"name": name, "record": content, "problem": problem})

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(f"{json.dumps(line)}\n")
        self._file.flush()

    @contextmanager
    def finishing(
        self, names: Sequence[str]
    ) -> Iterator[Iterator[tuple[Record | None, str]] | None]:
        """Record and problem of every image, in order, for whoever is the last; else None."""
        if self._file is not None:
            self._file.close()
        with self._locked():
            if (self._folder / _DONE).is_file():
                yield None
                return
            self._read()
            if any(name not in self._places for name in names):
                yield None
                return
            problems: list[str] = []
            yield _noted(self._records(names), problems)
            for path in self._folder.glob("*.jsonl"):
                path.unlink()
            content = {"identity": self._identity, "problems": problems}
            (self._folder / _DONE).write_text(json.dumps(content))
        if self._processes == 1:
            shutil.rmtree(self._folder)

    def so_far(self, names: Sequence[str]) -> Iterator[tuple[Record | None, str]]:
        """Record and problem of the images that are done, in order."""
        with self._locked():
            self._read()
            yield from self._records([name for name in names if name in self._places])

    def _records(self, names: Sequence[str]) -> Iterator[tuple[Record | None, str]]:
        opened: dict[Path, Any] = {}
        try:
            for name in names:
                path, place = self._places[name]
                if path not in opened:
                    opened[path] = open(path, "rb")  # noqa: SIM115 (closed below)
                opened[path].seek(place)
                content = json.loads(opened[path].readline())
                record = content["record"]
                yield None if record is None else Record(**record), content["problem"]
        finally:
            for file in opened.values():
                file.close()

    def _read(self) -> None:
        """Where the line of each image is; the lines themselves are many."""
        self._places = {}
        for path in sorted(self._folder.glob("*.jsonl")):
            with open(path, "rb") as file:
                first = _parsed(file.readline())
                if first.get("identity") != self._identity:
                    continue
                place = file.tell()
                for line in file:
                    content = _parsed(line)  # the last one of a killed process may be broken off
                    if "name" in content:
                        self._places[content["name"]] = (path, place)
                    place += len(line)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self._folder / _LOCK, "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # which ends with the process, however that ends
            yield


def _noted(
    records: Iterator[tuple[Record | None, str]], problems: list[str]
) -> Iterator[tuple[Record | None, str]]:
    """The records, whose problems are added to the list as they pass."""
    for record, problem in records:
        if record is None:
            problems.append(problem)
        yield record, problem


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
