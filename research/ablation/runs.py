"""The runs of an ablation: what each is, in which order, which are done, and doing one."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from pading.checkpoint.checkpointer import Checkpointer
from pading.data.catalogue import register, register_datasets
from pading.data.spec import DatasetSpec
from pading.engine.building import configured_model
from pading.engine.record import identity
from pading.evaluation.tables import without_nan
from pading.files import field as checked
from pading.files import read_json, write_json
from pading.models.pading.embedding_store import content_checksum
from pading.models.pading.source import open_store
from research.ablation.stage_one import train_segmenter
from research.ablation.study import Laboratory, Row

# What says where things are, rather than what they are; the classes' vectors count by checksum.
_PATHS = ("MODEL.WEIGHTS", "MODEL.STORE.PATH", "MODEL.CLASS_VECTORS", "OUTPUT_DIR")


@dataclass(frozen=True)
class Task:
    """One run to do.

    Args:
        row: its settings.
        weights: the stage-1 checkpoint; "" where the row trains a segmenter of its own.
        seed: of everything that is drawn.
        fingerprint: of settings, weights and data: with the seed, all that the figures follow from.
    """

    row: Row
    weights: str
    seed: int
    fingerprint: str

    def __str__(self) -> str:
        where = f", weights {self.weights}" if self.weights else ""
        return f"row {self.row.name!r}{where}, seed {self.seed}"


@dataclass
class AblationWork:
    """What a process of an ablation does; what runs share is made when the first asks for it.

    Args:
        stage2: configuration of stage 2 by checkpoint; the store is finished.
        stage1: configuration of the segmenter that is shown all classes.
        folder: where that segmenter's training is kept until it is over.
        data_sets: to register beside the usual ones.
    """

    stage2: Mapping[str, CfgNode]
    stage1: CfgNode
    folder: Path
    data_sets: Sequence[DatasetSpec]
    _laboratories: dict[str, Laboratory] = field(default_factory=dict, init=False)

    def __call__(self, task: Task, folder: Path) -> dict[str, float | None]:
        """The figures of a run.

        Args:
            task: what to run.
            folder: for scratch files, of this process alone.
        """
        register_datasets(self.stage1)
        for spec in self.data_sets:
            register(spec)
        if task.row.learns == "segmenter":
            place = self.folder / f"segmenter_{task.fingerprint[:12]}_seed{task.seed}"
            return without_nan(train_segmenter(self.stage1, task.seed, place))
        if task.weights not in self._laboratories:
            cfg = self.stage2[task.weights]
            self._laboratories[task.weights] = Laboratory(cfg, task.weights, folder)
        return without_nan(self._laboratories[task.weights].run(task.row, task.seed))


class Runs:
    """The file of the runs that are done: a list of row, weights, seed, fingerprint and figures."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            InputError: the file cannot be read, or is none of an ablation.
        """
        self.path = path
        self.all: list[dict[str, Any]] = []
        if path.exists():
            self.all = read_json(path)
            for number, run in enumerate(checked({"runs": self.all}, "runs", list, str(path))):
                for key, kind in (("row", str), ("seed", int), ("figures", dict)):
                    checked(run, key, kind, f"{path}: [{number}]")

    def add(self, task: Task, figures: Mapping[str, Any]) -> None:
        """Keep a run; the file is written whole or not at all."""
        self.all.append(
            {
                "row": task.row.name,
                "weights": task.weights,
                "seed": task.seed,
                "fingerprint": task.fingerprint,
                "figures": dict(figures),
            }
        )
        write_json(self.path, self.all)

    def of(self, tasks: Sequence[Task]) -> list[dict[str, Any]]:
        """The runs of these tasks that are done, in the order of the tasks.

        One of other settings, weights or data has another fingerprint, and one of an older file
        none.
        """
        known = {(run["row"], run.get("fingerprint"), run["seed"]): run for run in self.all}
        found = [known.get((t.row.name, t.fingerprint, t.seed)) for t in tasks]
        return [
            {**run, "weights": task.weights}  # the checkpoint may have been moved
            for run, task in zip(found, tasks, strict=True)
            if run is not None
        ]


def plan(
    rows: Sequence[Row],
    weights: Sequence[str],
    seeds: int,
    bound_seeds: int,
    fingerprint: Callable[[Row, str], str],
) -> list[Task]:
    """All runs in the order to do them: seeds are the outer loop, so that any part is balanced.

    Args:
        rows: to run.
        weights: stage-1 checkpoints.
        seeds: of stage 2 for each row and checkpoint; without stage 2 a seed decides nothing.
        bound_seeds: of segmenters that are trained, which no checkpoint has a part in.
        fingerprint: of a row on a checkpoint.
    """
    limits = {"nothing": 1, "segmenter": bound_seeds}
    planned = []
    for seed in range(1, max(seeds, bound_seeds) + 1):
        here = [row for row in rows if seed <= limits.get(row.learns, seeds)]
        for last in (False, True):
            for number, path in enumerate(weights):
                for row in here:
                    own = row.learns == "segmenter"
                    if row.last == last and not (own and number):
                        name = "" if own else path
                        planned.append(Task(row, name, seed, fingerprint(row, name)))
    return planned


def prepare_store(cfg: CfgNode) -> dict[str, Any]:
    """Make the store that the runs on MODEL.WEIGHTS learn from, unless it is there; its header."""
    model = configured_model(cfg)
    Checkpointer(model).load(cfg.MODEL.WEIGHTS)
    return vars(open_store(cfg, model).header)


def fingerprint_of(cfg: CfgNode, **more: Any) -> str:
    """SHA-256 of what decides the figures of a run, the seed left out.

    Args:
        cfg: of the run; paths in it do not count.
        more: whatever else does, as JSON can hold it.
    """
    cfg = cfg.clone()
    cfg.defrost()
    known = identity(cfg)
    vectors = known["class_vectors"] and known["class_vectors"]["checksum"]
    for key in _PATHS:
        cfg.merge_from_list([key, ""])
    files = [
        file_checksum(path)
        for name in cfg.DATASETS.TEST
        for key in ("panoptic_json", "instance_json")
        if (path := MetadataCatalog.get(name).get(key))
    ]
    return content_checksum(
        {
            "configuration": yaml.safe_load(cfg.dump()),
            "split": known["split"],
            "vectors": vectors,
            "ground truth": files,
            **more,
        }
    )


def file_checksum(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def until(deadline: float, tasks: Sequence[Task]) -> Iterator[Task]:
    """The tasks, up to a time of :func:`time.monotonic`."""
    for task in tasks:
        if time.monotonic() > deadline:
            return
        yield task
