"""``run.json``: what a run was started with, so that it is repeated or resumed as what it was."""

import logging
import platform
import secrets
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from detectron2.config import CfgNode
from detectron2.utils import comm

from pading import __version__
from pading.checkpoint.checkpointer import LAST_CHECKPOINT
from pading.compat import detectron2_version_line
from pading.engine.building import configured_vocabulary
from pading.errors import InputError
from pading.file_lock import has_lock
from pading.files import field, read_json, write_json
from pading.models.registry import model_class
from pading.vocabulary.class_vectors import ClassVectors

_logger = logging.getLogger(__name__)
RECORD_FILE = "run.json"
LOCK_FILE = "run.lock"
_PACKAGE = Path(__file__).resolve().parents[1]


def identity(cfg: CfgNode) -> dict[str, Any]:
    """What must not change while a run lasts: system, classes, and the vectors' checksum.

    Raises:
        InputError: data sets that do not fit each other, or vectors that do not fit the classes.
    """
    split, selected = configured_vocabulary(cfg)
    vectors = None
    if selected is not None:
        checksum = ClassVectors(split.names, selected.numpy(), cfg.MODEL.CLASS_VECTORS).checksum
        vectors = {"source": cfg.MODEL.CLASS_VECTORS, "checksum": checksum}
    return {
        "stage": cfg.MODEL.META_ARCHITECTURE,
        "split": {
            "name": split.name,
            "classes": list(split.names),
            "unseen": [split.names[i] for i in split.unseen],
        },
        "class_vectors": vectors,
        **model_class(cfg.MODEL.META_ARCHITECTURE).identity(cfg),
    }


def begin(cfg: CfgNode, resume: bool) -> str:
    """Write the record of a new run, or add to that of a resumed one; every process calls this.

    The record holds :func:`identity`, an identifier that the run's checkpoints bear, and for every
    start the time, configuration, number of processes, versions and git state.

    Returns:
        the run's identifier.

    Raises:
        InputError: the run is resumed as something else (:func:`check_resumable`).
    """
    path = Path(cfg.OUTPUT_DIR) / RECORD_FILE
    record = check_resumable(cfg) if resume else None
    fresh = identity(cfg) | {"run": secrets.token_hex(8), "starts": []}
    # What another process of this run reads is what the main process found.
    record = comm.all_gather(record or fresh)[0]
    if comm.is_main_process():
        for rest in _partial_files(path.parent):
            rest.unlink(missing_ok=True)
        if not resume:
            # What an earlier run left here is not this run's.
            (path.parent / LAST_CHECKPOINT).unlink(missing_ok=True)
        write_json(path, {**record, "starts": [*record["starts"], _start(cfg, resume)]}, indent=1)
    comm.synchronize()
    return record["run"]


@contextmanager
def alone_in(folder: str) -> Iterator[None]:
    """Keep other runs out of OUTPUT_DIR; every process calls this, and the main one holds the lock.

    The lock is the process's and ends with it, however it ends.

    Raises:
        InputError: another run is at work there.
    """
    with ExitStack() as stack:
        problem = ""
        if comm.is_main_process():
            file = stack.enter_context(open(Path(folder) / LOCK_FILE, "w", encoding="utf-8"))
            try:
                if not has_lock(file):
                    problem = (
                        f"OUTPUT_DIR {folder!r}: another run is training there; wait for it, or "
                        "name another folder"
                    )
            except OSError as error:  # a file system without locks
                _logger.warning("%s: cannot be locked (%s); start one run there", folder, error)
        problem = comm.all_gather(problem)[0]
        if problem:
            raise InputError(problem)
        yield


def _partial_files(folder: Path) -> list[Path]:
    """What writers of this run that were killed have left; other runs may be at work below."""
    pattern = ".*.partial*"
    embeddings, inference = folder / "embeddings", folder / "inference"
    return [*folder.glob(pattern), *embeddings.glob(pattern), *inference.rglob(pattern)]


def run_of(cfg: CfgNode) -> str | None:
    """Identifier of the run in OUTPUT_DIR, if there is one; raises as :func:`check_resumable`."""
    record = check_resumable(cfg)
    return record["run"] if record else None


def check_resumable(cfg: CfgNode) -> dict[str, Any] | None:
    """The record of the run in OUTPUT_DIR; None where there is none.

    Raises:
        InputError: the run had another stage, other classes, another split into seen and unseen, or
            other class vectors than the configuration; or the record cannot be read.
    """
    path = Path(cfg.OUTPUT_DIR) / RECORD_FILE
    if not path.exists():
        return None
    record = read_json(path)
    field(record, "run", str, str(path))
    field(record, "starts", list, str(path))
    differences = list(_differences(record, identity(cfg), path))
    if differences:
        raise InputError(
            f"{path}: the run cannot be resumed as another one: {'; '.join(differences)}. Resume "
            "with the run's own configuration (it is in this file), or name another OUTPUT_DIR"
        )
    return record


def _differences(record: dict[str, Any], now: dict[str, Any], path: Path) -> Iterable[str]:
    fixed = ("stage", "split", "class_vectors")
    before = {key: field(record, key, (str, dict, type(None)), str(path)) for key in fixed}
    for key in now.keys() - {*fixed}:
        if record.get(key) != now[key]:
            yield f"{key} was {record.get(key)!r}, now {now[key]!r}"
    if before["stage"] != now["stage"]:
        yield f"MODEL.META_ARCHITECTURE was {before['stage']}, now {now['stage']}"
    old, new = before["split"], now["split"]
    for key, what in (("classes", "classes"), ("unseen", "unseen classes")):
        was, names = field(old, key, list, f"{path}: split"), new[key]
        if was == names:
            continue
        yield (
            f"split {old.get('name')!r} had {len(was)} {what}, "
            f"{new['name']!r} has {len(names)}{_changed_names(was, names)}"
        )
    was, vectors = before["class_vectors"], now["class_vectors"]
    if before["stage"] == now["stage"] and was != vectors:
        sums = [(v or {}).get("checksum") for v in (was, vectors)]
        if sums[0] != sums[1]:
            sources = [(v or {}).get("source") for v in (was, vectors)]
            yield (
                f"class vectors differ: MODEL.CLASS_VECTORS was {sources[0]!r} "
                f"(checksum {sums[0]}), now {sources[1]!r} ({sums[1]})"
            )


def _changed_names(was: list[str], now: list[str]) -> str:
    gone = [name for name in was if name not in now]
    new = [name for name in now if name not in was]
    if not gone and not new:
        return " in another order"
    lists = (("only before", gone), ("only now", new))
    return "".join(f" ({what}: {', '.join(names[:5])})" for what, names in lists if names)


def _start(cfg: CfgNode, resume: bool) -> dict[str, Any]:
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "resume": resume,
        "processes": comm.get_world_size(),
        "command": sys.argv,
        "versions": _versions(),
        "git": _git_state(),
        "configuration": yaml.safe_load(cfg.dump()),
    }


def _versions() -> dict[str, str | None]:
    return {
        "pading": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "detectron2": detectron2_version_line(),
        "numpy": np.__version__,
    }


def _git_state() -> dict[str, Any] | None:
    """Commit of the sources and whether they differ from it; None where they are in no checkout."""
    try:
        answers = [
            subprocess.run(
                ["git", "-C", str(_PACKAGE), *command],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            ).stdout.strip()
            for command in (
                ("ls-files", "--error-unmatch", "__init__.py"),
                ("rev-parse", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no"),
            )
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": answers[1], "changed": bool(answers[2])}
