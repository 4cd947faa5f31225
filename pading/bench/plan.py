"""What a benchmark is: rows by folds by seeds, read from one YAML file."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pading.bench.control_vectors import CONTROLS
from pading.config import leaves, load_config, read_yaml
from pading.errors import InputError
from pading.files import field

TEXT = "text"
_KEYS = {"rows", "folds", "seeds", "settings"}
_ROW_KEYS = {"stages", "vectors", "tune", "seeds"}


@dataclass(frozen=True)
class Stage:
    """One training.

    Args:
        config: name or path of its configuration.
        settings: keys and values on top of it.
    """

    config: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        name: for people.
        stages: trained one on the other.
        vectors: "text" (as configured), or one of CONTROLS.
        tune: whether the last stage's settings are chosen by ``pading tune``.
        seeds: its own; none: those of the plan.
    """

    name: str
    stages: tuple[Stage, ...]
    vectors: str = TEXT
    tune: bool = False
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A row on a fold with a seed."""

    row: Row
    fold: str
    settings: Mapping[str, Any]
    seed: int

    def __str__(self) -> str:
        fold = f", {self.fold}" if self.fold else ""
        return f"{self.row.name}{fold}, seed {self.seed}"

    def pairs(self, stage: Stage) -> list[str]:
        """KEY VALUE pairs of a stage: fold, then the stage's own, which count more."""
        settings = {"SEED": self.seed, **self.settings, **stage.settings}
        return [str(part) for pair in settings.items() for part in pair]


@dataclass(frozen=True)
class Plan:
    """A benchmark.

    Args:
        rows: the table's.
        folds: name -> settings of every stage; one without a name where there are none.
        seeds: of every fold, in rows that have none of their own.
    """

    rows: tuple[Row, ...]
    folds: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]

    def cells(self) -> Iterator[Cell]:
        """Seeds are the outer loop, so that what is there at any time is balanced."""
        seeds = dict.fromkeys(itertools.chain(self.seeds, *(row.seeds for row in self.rows)))
        for seed, (fold, settings), row in itertools.product(seeds, self.folds.items(), self.rows):
            if seed in (row.seeds or self.seeds):
                yield Cell(row, fold, settings, seed)


def read_plan(path: str | Path) -> Plan:
    """Read a benchmark's YAML file, and all configurations that it names.

    Raises:
        InputError: something in it is missing, unknown or of the wrong kind; a configuration or a
            key that there is not; a last stage that is not scored on exactly one data set.
    """
    where = str(path)
    try:
        content = read_yaml(path)
    except OSError as error:
        raise InputError(f"{path}: cannot read this benchmark: {error.strerror}") from error
    _no_others(content, _KEYS, where)
    common = _settings(content, "settings", where)
    folds = field(content, "folds", dict, where) if "folds" in content else {"": {}}
    plan = Plan(
        tuple(_row(name, row, where) for name, row in field(content, "rows", dict, where).items()),
        {str(f): {**common, **_settings(folds, f, f"{where}: folds")} for f in folds},
        _seeds(content, where, (1,)),
    )
    if not (plan.rows and plan.folds):
        raise InputError(f"{path}: it has no cell; give rows, and no empty folds")
    for cell in plan.cells():
        cfgs = [load_config(stage.config, cell.pairs(stage)) for stage in cell.row.stages]
        if len(cfgs[-1].DATASETS.TEST) != 1:
            raise InputError(
                f"{path}: {cell}: DATASETS.TEST is {list(cfgs[-1].DATASETS.TEST)}; a cell is "
                "scored on one data set"
            )
    return plan


def _row(name: Any, content: Any, where: str) -> Row:
    where = f"{where}: rows: {name}"
    _no_others(content, _ROW_KEYS, where)
    stages = field(content, "stages", list, where)
    if not stages:
        raise InputError(f"{where}: 'stages' is empty; name its configurations")
    vectors = content.get("vectors", TEXT)
    if vectors not in (TEXT, *CONTROLS):
        raise InputError(f"{where}: vectors {vectors!r}; take {TEXT} or {', '.join(CONTROLS)}")
    tune = field(content, "tune", bool, where) if "tune" in content else False
    stages_read = tuple(_stage(stage, where) for stage in stages)
    return Row(str(name), stages_read, vectors, tune, _seeds(content, where, ()))


def _seeds(content: Any, where: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    if "seeds" not in content:
        return otherwise
    seeds = field(content, "seeds", list, where)
    if not seeds:
        raise InputError(f"{where}: 'seeds' is empty; name some, or leave it out")
    return tuple(field({"seed": seed}, "seed", int, where) for seed in seeds)


def _stage(content: Any, where: str) -> Stage:
    config = field(content, "config", str, f"{where}: stages")
    return Stage(config, dict(leaves({k: v for k, v in content.items() if k != "config"})))


def _settings(content: Any, key: str, where: str) -> dict[str, Any]:
    found = content.get(key) or {}
    if not isinstance(found, dict):
        raise InputError(f"{where}: {key} must be configuration keys and values, not {found!r:.80}")
    return dict(leaves(found))


def _no_others(content: Any, known: set[str], where: str) -> None:
    if not isinstance(content, dict):
        raise InputError(f"{where}: expected a mapping with {', '.join(sorted(known))}")
    for key in content:
        if key not in known:
            raise InputError(f"{where}: unknown {key!r}; take {', '.join(sorted(known))}")
