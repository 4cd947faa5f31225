"""What stands in a project's files of data sets and stages."""

from dataclasses import MISSING, fields
from typing import Any

import yaml

from pading.data.spec import DatasetSpec
from pading.projects.classes import absolute
from pading.projects.layout import DATA, VECTORS, Project, base_of

TASKS = ("panoptic", "instance", "semantic")


def data_row(spec: DatasetSpec) -> dict[str, Any]:
    """What of a row is not as it is by default."""
    row = {}
    for key in fields(spec):
        value = getattr(spec, key.name)
        if key.default is MISSING or value != key.default:
            row[key.name] = list(value) if isinstance(value, tuple) else value
    return row


def stage_configuration(project: Project, stage: str, number: int, weights: str) -> str:
    """The text of a stage's configuration.

    Args:
        project: with the folder that it will have.
        stage: its name.
        number: its place, from 0.
        weights: MODEL.WEIGHTS; "": what the configuration below it says.
    """
    folder = absolute(project.folder)
    settings: dict[str, Any] = {
        "_BASE_": base_of(project.system, stage),
        "MODEL": {
            "CLASS_VECTORS": f"{folder}/{VECTORS}",
            "INFERENCE": {f"{task.upper()}_ON": task == project.task for task in TASKS},
        },
        "DATASETS": {
            "FILES": [f"{folder}/{DATA}"],
            "TRAIN": [f"{project.name}_train"],
            "TEST": [f"{project.name}_val"],
        },
        "OUTPUT_DIR": f"{folder}/output/{stage}",
    }
    if weights:
        settings["MODEL"]["WEIGHTS"] = weights
    note = (
        f"# Stage {number + 1} of {len(project.stages)}. What stands here counts more than the\n"
        "# rules of pading train (schedule, batch, crop, precision), which fill in the rest.\n"
    )
    return note + yaml.safe_dump(settings, sort_keys=False)
