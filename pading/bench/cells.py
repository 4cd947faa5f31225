"""Running the cells of a benchmark: each stage once, shared by as many processes as like.

A stage's folder is named after all that its result follows from, so cells that begin alike share
what they begin with, and a changed plan trains what is new in it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml
from detectron2.config import CfgNode

from pading.bench.control_vectors import control_vectors
from pading.bench.plan import TEXT, Cell, Plan
from pading.checkpoint.weights import read_weights, write_weights
from pading.config import load_config
from pading.data.catalogue import configured_split, register_datasets
from pading.errors import InputError
from pading.evaluation.evaluator import RESULTS_FILE
from pading.file_lock import has_lock
from pading.models.pading.conversion import convert
from pading.models.pading.embedding_store import HEADER, Header, content_checksum
from pading.models.pading.extraction import input_of, settings_of
from pading.models.pading.source import asks_for_store
from pading.models.registry import model_class
from pading.projects.training import own_loggers
from pading.tuning.chosen import CHOSEN, FOLDER

Command = Callable[[Sequence[str]], None]
_PATIENCE = 5.0
"""Seconds between looks at what other processes are at."""


@dataclass(frozen=True)
class Commands:
    """The ``main`` of the commands that a stage is made by."""

    train: Command
    store: Command
    tune: Command


class Step(NamedTuple):
    """A stage of a cell."""

    folder: Path
    cfg: CfgNode
    pairs: list[str]

    @property
    def is_done(self) -> bool:
        """Whether it is trained, and scored where it is to be."""
        names = self.cfg.DATASETS.TEST
        scores = [self.folder / "inference" / name / RESULTS_FILE for name in names]
        return all(path.is_file() for path in (self.folder / "model_final.pth", *scores))


@dataclass
class Runs:
    """The folder of a benchmark's runs.

    Args:
        folder: of the benchmark.
        commands: see there.
        failed: what could not be run, by cell.
    """

    folder: Path
    commands: Commands
    failed: dict[str, str] = field(default_factory=dict)
    _known: dict[str, list[Step]] = field(default_factory=dict, init=False)

    def all_of(self, plan: Plan) -> None:
        """Run what no process has run yet, until all is there.

        Raises:
            InputError: cells failed, after all others are done.
        """
        while left := [c for c in plan.cells() if str(c) not in self.failed and not self.result(c)]:
            print(f"{len(left)} cells to run", flush=True)
            moved = [self._advanced(cell) for cell in left]
            if not any(moved):
                time.sleep(_PATIENCE)  # all that is left hangs on what others are at
        if self.failed:
            cell, why = next(iter(self.failed.items()))
            raise InputError(f"{len(self.failed)} cells failed, the first is {cell}: {why}")

    def result(self, cell: Cell) -> Path | None:
        """The file of a cell's scores, where they are there."""
        folder, cfg, _ = self._steps(cell)[-1]
        path = folder / "inference" / cfg.DATASETS.TEST[0] / RESULTS_FILE
        return path if path.is_file() else None

    def _advanced(self, cell: Cell) -> bool:
        """Run the stages of a cell that nobody else is at; whether there was one, or it failed."""
        moved = False
        before: Path | None = None
        for number, step in enumerate(self._steps(cell)):
            if not step.is_done:
                with _alone(step.folder.with_suffix(".lock")) as alone:
                    if not alone:
                        return moved
                    if not (step.is_done or self._works(cell, number, step, before)):
                        return True
                moved = True
            before = step.folder
        return moved

    def _works(self, cell: Cell, number: int, step: Step, before: Path | None) -> bool:
        """Run a stage; where it fails, the cell has."""
        print(f"{cell}: stage {number + 1}, {step.folder}", flush=True)
        try:
            self._run(cell, number, step, before)
        except InputError as error:
            print(f"{cell} failed: {error}", flush=True)
            self.failed[str(cell)] = str(error)
            return False
        return True

    def _steps(self, cell: Cell) -> list[Step]:
        """The stages of a cell; a folder's name stands for all that is in it."""
        name = str(cell)
        if name not in self._known:
            self._known[name] = steps = []
            known: list[object] = []
            for number, stage in enumerate(cell.row.stages):
                pairs = cell.pairs(stage)
                cfg = load_config(stage.config, pairs)
                settings = cfg.clone()
                settings.OUTPUT_DIR = ""
                words = model_class(cfg.MODEL.META_ARCHITECTURE).uses_class_vectors
                tuned = cell.row.tune and number == len(cell.row.stages) - 1
                how = [cell.row.vectors if words else TEXT, tuned]
                known = [yaml.safe_load(settings.dump()), how, known]
                folder = f"{Path(stage.config).stem}_{content_checksum(known)[:12]}"
                steps.append(Step(self.folder / "runs" / folder, cfg, pairs))
        return self._known[name]

    def _run(self, cell: Cell, number: int, step: Step, before: Path | None) -> None:
        """Train and score a stage, with what it says in ``said.txt`` of its folder."""
        folder, cfg, pairs = step
        register_datasets(cfg)
        system = model_class(cfg.MODEL.META_ARCHITECTURE)
        more = [*pairs, "OUTPUT_DIR", str(folder)]
        folder.mkdir(parents=True, exist_ok=True)
        if system.uses_class_vectors and cell.row.vectors != TEXT:
            split = configured_split(cfg)
            path = folder / "vectors.npz"
            made = control_vectors(cell.row.vectors, cfg.MODEL.CLASS_VECTORS, split, cell.seed)
            made.save(path)
            more += ["MODEL.CLASS_VECTORS", str(path)]
        config = cell.row.stages[number].config
        with open(folder / "said.txt", "a", encoding="utf-8") as said, redirect_stdout(said):
            if before is not None:
                more += ["MODEL.WEIGHTS", str(self._weights(before, cfg))]
                if asks_for_store(cfg) and not cfg.MODEL.STORE.PATH:
                    more += ["MODEL.STORE.PATH", str(self._store(before, config, more, cfg))]
            with own_loggers():
                if cell.row.tune and number == len(cell.row.stages) - 1:
                    self.commands.tune(["--config-file", config, *more])
                    config, more = str(folder / FOLDER / CHOSEN), []
                final = folder / "model_final.pth"
                if final.is_file():  # it ended while it was scored
                    more += ["MODEL.WEIGHTS", str(final)]
                how = "--eval-only" if final.is_file() else "--resume"
                self.commands.train(["--config-file", config, how, *more])

    def _weights(self, before: Path, cfg: CfgNode) -> Path:
        """The weights of the stage before as this one takes them."""
        trained = before / "model_final.pth"
        if not model_class(cfg.MODEL.META_ARCHITECTURE).needs_trained_weights:
            return trained
        path = before / "converted.pth"
        if not path.is_file():
            split = configured_split(cfg)
            grown, warnings = convert(read_weights(str(trained)), split, str(trained))
            for warning in warnings:
                print(warning)
            write_weights(str(path), grown)
        return path

    def _store(self, before: Path, config: str, pairs: Sequence[str], cfg: CfgNode) -> Path:
        """The store of the stage before, of the first seed that asks: what rows and seeds share."""
        how = {key: value for key, value in settings_of(cfg).items() if key != "SEED"}
        made_of = [input_of(cfg), how, cfg.MODEL.SEGMENTER, cfg.DATASETS.TRAIN]
        path = before / f"store_{content_checksum(made_of)[:12]}"
        with _alone(path.with_suffix(".lock"), wait=True), own_loggers():
            # Seeds share it: whoever comes later goes on with that of who came first.
            seed = Header.read(path).settings["SEED"] if (path / HEADER).is_file() else cfg.SEED
            more = [*pairs, "SEED", str(seed)]
            self.commands.store(["--config-file", config, "--output", str(path), *more])
        return path


@contextmanager
def _alone(path: Path, wait: bool = False) -> Iterator[bool]:
    """Whether no other process has the lock; it is had inside the block, and ends with the process.

    Args:
        path: of the lock's file.
        wait: until it can be had.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        yield has_lock(file, wait)
