"""The stages of a project in their order: what each is trained with, and which are done."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager

from pading.config import (
    config_path,
    flat_line,
    leaves,
    load_config,
    overridden,
    override,
    read_yaml,
)
from pading.evaluation.evaluator import RESULTS_FILE
from pading.models.registry import model_class
from pading.projects.layout import Project, base_of, write_text
from pading.projects.rules import Choice, Facts, choices

_SMALL = "own/small"


@dataclass(frozen=True)
class Plan:
    """How a stage is trained.

    Args:
        stage: its name.
        config: the file that says so: the user's configuration and what the rules have chosen.
        choices: what the rules have chosen now; empty where they had chosen before.
        remarks: what there is to say of it.
    """

    stage: str
    config: Path
    choices: tuple[Choice, ...] = ()
    remarks: tuple[str, ...] = ()


def plan(project: Project, stage: str, pairs: Sequence[str], processes: int = 1) -> Plan:
    """How a stage is trained; the first time, the rules choose, and that is kept.

    Args:
        project: of the stage.
        stage: its name.
        pairs: KEY VALUE pairs of the command line.
        processes: that share the work.

    Raises:
        InputError: what of the configuration cannot be read.
    """
    path = project.folder / "output" / f"{stage}.yaml"
    if path.is_file():
        return Plan(stage, path)
    own = str(project.config(stage))
    cfg = load_config(own, pairs)
    given = own_settings(project, stage, cfg, pairs)
    small, remarks = _network(project, stage, cfg, given)
    overlay = {key: value for key, value in small.items() if key not in given}
    published = load_config(base_of(project.system, stage))
    override(published, [str(part) for pair in small.items() for part in pair])
    system = model_class(cfg.MODEL.META_ARCHITECTURE)
    facts = _facts(project, cfg, processes, bool(small), not system.needs_trained_weights)
    chosen = tuple(choices(published, given, facts))
    _write(path, own, overlay, chosen, overridden(cfg, pairs))
    return Plan(stage, path, chosen, tuple(remarks))


def own_settings(
    project: Project, stage: str, cfg: CfgNode, pairs: Sequence[str]
) -> dict[str, Any]:
    """What the user has set for a stage, in its file and by the pairs, which are in ``cfg``."""
    given = dict(leaves(_without_base(read_yaml(str(project.config(stage))))))
    return {**given, **overridden(cfg, pairs)}


def is_trained(project: Project, stage: str) -> bool:
    """Whether a stage's model is there."""
    return (project.output(stage) / "model_final.pth").is_file()


def results_of(project: Project, stage: str) -> Path:
    """Where a stage's scores are."""
    return project.output(stage) / "inference" / f"{project.name}_val" / RESULTS_FILE


def starts_from_trained(plan: Plan) -> bool:
    """Whether a stage needs the one before it."""
    cfg = load_config(str(plan.config))
    return model_class(cfg.MODEL.META_ARCHITECTURE).needs_trained_weights


def _without_base(settings: Any) -> dict[str, Any]:
    return {key: value for key, value in (settings or {}).items() if key != "_BASE_"}


def _network(
    project: Project, stage: str, cfg: CfgNode, given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Settings of the small network, where the full one's weights cannot be had; remarks."""
    path = config_path(f"{_SMALL}/{project.system}/{stage}")
    if not os.path.isfile(path):
        return {}, []
    first = stage == project.stages[0]
    if not first:
        # As the stage before was trained.
        before = project.folder / "output" / f"{project.stages[0]}.yaml"
        is_small = before.is_file() and load_config(str(before)).MODEL.WEIGHTS == ""
        return (dict(leaves(read_yaml(path))), []) if is_small else ({}, [])
    if given.get("MODEL.WEIGHTS"):
        return {}, []
    weights = cfg.MODEL.WEIGHTS
    if cfg.MODEL.DEVICE != "cpu" and weights and _can_be_had(weights):
        return {}, [f"starts from {weights}"]
    why = "no GPU" if cfg.MODEL.DEVICE == "cpu" else f"{weights or 'weights'} cannot be had"
    return dict(leaves(read_yaml(path))), [
        f"{why} and no weights named: a small network learns from nothing. It shows that all "
        "works, and finds large and frequent things; expect a fraction of the full model's "
        f"scores. For the full one: MODEL.WEIGHTS FILE in {project.config(stage)}"
    ]


def _can_be_had(weights: str) -> bool:
    if "://" not in weights:
        return os.path.isfile(weights)
    try:
        return os.path.isfile(PathManager.get_local_path(weights))
    except (OSError, RuntimeError, ValueError, LookupError, AssertionError):
        return False


def _facts(project: Project, cfg: CfgNode, processes: int, small: bool, first: bool) -> Facts:
    on_gpu = cfg.MODEL.DEVICE != "cpu"
    return Facts(
        images=project.images,
        height=project.height,
        width=project.width,
        gpu_memory=torch.cuda.get_device_properties(0).total_memory / 2**30 if on_gpu else 0.0,
        bfloat16=on_gpu and torch.cuda.is_bf16_supported(),
        processes=processes,
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        small=small,
        first=first,
    )


def _write(
    path: Path,
    own: str,
    overlay: Mapping[str, Any],
    chosen: Sequence[Choice],
    pairs: Mapping[str, Any],
) -> None:
    lines = [
        "# What pading train chose for this stage, once; delete this file and the run's folder to",
        "# choose anew. A key that stands in the stage's own file is not touched.",
        f"_BASE_: {os.path.relpath(own, path.parent)}",
    ]
    rules = {choice.key for choice in chosen}
    lines += [flat_line(key, value) for key, value in overlay.items() if key not in rules]
    lines += [f"{flat_line(choice.key, choice.value)}  # {choice.why}" for choice in chosen]
    lines += [f"{flat_line(key, value)}  # command line" for key, value in pairs.items()]
    write_text(path, "\n".join(lines) + "\n")
