"""All stages of a project that are missing, one after the other."""

import logging
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from detectron2.utils.logger import setup_logger

from pading.config import load_config
from pading.data.batches import training_entries
from pading.data.catalogue import configured_split, register_datasets
from pading.evaluation.groups import Scores
from pading.evaluation.tables import group_table
from pading.files import read_json
from pading.models.pading.source import asks_for_store
from pading.projects.layout import CLASSES, Project
from pading.projects.stages import (
    Plan,
    is_trained,
    own_settings,
    plan,
    results_of,
    starts_from_trained,
)
from pading.reports.html_report import write_report
from pading.tuning.choosing import GRID
from pading.tuning.chosen import CHOSEN, FOLDER
from pading.tuning.pretence import why_not

Command = Callable[[Sequence[str]], None]
"""The ``main`` of a command."""


def train_project(
    project: Project,
    train: Command,
    convert: Command,
    tune: Command,
    options: Sequence[str] = (),
    pairs: Sequence[str] = (),
    processes: int = 1,
) -> None:
    """Train, score and report; what is done already is not done again.

    Args:
        project: see there.
        train, convert, tune: the commands.
        options: of ``train``, such as ["--num-gpus", "8"].
        pairs: KEY VALUE pairs for all stages.
        processes: that share the work.

    Raises:
        InputError: what the commands refuse.
    """
    start = time.monotonic()
    weights: list[str] = []
    common = ["--brief", *options]
    for number, stage in enumerate(project.stages, 1):
        planned = plan(project, stage, pairs, processes)
        print(f"\nstage {number} of {len(project.stages)}: {stage}", flush=True)
        _explain(planned)
        config = str(planned.config)
        if number > 1 and starts_from_trained(planned):
            weights = ["MODEL.WEIGHTS", _converted(project, stage, convert)]
        with own_loggers():
            if not is_trained(project, stage):
                if weights and _is_to_be_tuned(project, planned, pairs):
                    tune(["--config-file", config, *pairs, *weights])
                    config = str(project.output(stage) / FOLDER / CHOSEN)
                train(["--config-file", config, *common, "--resume", *pairs, *weights])
            elif not results_of(project, stage).is_file():  # it ended while it was scored
                final = str(project.output(stage) / "model_final.pth")
                end = ["--eval-only", *pairs, "MODEL.WEIGHTS", final]
                train(["--config-file", config, *common, *end])
            else:
                print("is done already")
    minutes = (time.monotonic() - start) / 60
    print(f"\n{_scores(project)}\n\ntrained in {minutes:.1f} minutes: {project.weights}")
    print(f"what was found, as a page: {write_report(str(project.output(project.stages[-1])))}")
    name = shlex.quote(str(project.folder))
    print(
        f"\nnext\n    pading predict {name} --input PHOTOGRAPHS --output predictions\n"
        f"    pading add-classes {name} --names NAME --output {name}/more.pth"
    )


def _is_to_be_tuned(project: Project, planned: Plan, pairs: Sequence[str]) -> bool:
    """Whether data are to choose a stage's settings: where they can, and the user has not."""
    cfg = load_config(str(planned.config), pairs)
    register_datasets(cfg)
    split = configured_split(cfg)
    given = own_settings(project, planned.stage, cfg, pairs).keys() & GRID.keys()
    if given or not split.unseen or not asks_for_store(cfg):
        return False
    if reason := why_not(split, len(training_entries(cfg))):
        print(f"  {reason}, so the configuration chooses the generator", flush=True)
    return not reason


def _explain(planned: Plan) -> None:
    for remark in planned.remarks:
        print(f"  {remark}")
    for choice in planned.choices:
        print(f"  {choice.key} {choice.value}  ({choice.why})")
    print(f"  {planned.config} keeps this", flush=True)


def _converted(project: Project, stage: str, convert: Command) -> str:
    """The weights of the stage before as this one takes them."""
    before = project.stages[project.stages.index(stage) - 1]
    path = project.folder / "output" / f"{before}_converted.pth"
    source = project.output(before) / "model_final.pth"
    if not path.is_file() or path.stat().st_mtime < source.stat().st_mtime:
        split = str(project.folder / CLASSES)
        task = ["--task_name", project.task, "--split", split]
        convert([*task, "--input_file", str(source), "--output_file", str(path)])
    return str(path)


def _scores(project: Project) -> str:
    """The tables of what the last stage scored."""
    report = read_json(results_of(project, project.stages[-1]))
    tables = [group_table(Scores.from_report(task, report)) for task in report["metrics"]]
    heading = f"{project.name}_val, per cent"
    return "\n\n".join(
        f"{heading}, {task}\n\n{table}"
        for task, table in zip(report["metrics"], tables, strict=True)
    )


@contextmanager
def own_loggers() -> Iterator[None]:
    """The handlers that a stage adds are gone after it, or the next would print lines twice."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore", "pading")]
    before = [list(logger.handlers) for logger in loggers]
    try:
        yield
    finally:
        setup_logger.cache_clear()
        for logger, handlers in zip(loggers, before, strict=True):
            logger.handlers[:] = handlers
