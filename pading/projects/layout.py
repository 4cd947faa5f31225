"""What a project's folder holds, and where."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from pading.config import list_configs, read_yaml
from pading.errors import InputError
from pading.files import field, writing

FILE = "project.yaml"
CLASSES, DATA, VECTORS, SHEET = "classes.json", "data.yaml", "vectors.npz", "samples.png"
_OWN = "own"
"""Folder of the configurations that projects build on: a folder for each system, in it its stages
in the order of their names."""


@dataclass(frozen=True)
class Project:
    """A project, as its ``project.yaml`` describes it.

    Args:
        folder: of the project.
        system: a name of :func:`systems`.
        task: "instance", "panoptic" or "semantic".
        stages: names of the configurations in the folder, without extension, in order.
        images: that are trained on.
        height, width: of an image, the medians.
    """

    folder: Path
    system: str
    task: str
    stages: tuple[str, ...]
    images: int
    height: int
    width: int

    @property
    def name(self) -> str:
        """That of the folder."""
        return self.folder.resolve().name

    def config(self, stage: str) -> Path:
        """The configuration of a stage, which is the user's to edit."""
        return self.folder / f"{stage}.yaml"

    def output(self, stage: str) -> Path:
        """Where a stage's run goes."""
        return self.folder / "output" / stage

    @property
    def weights(self) -> Path:
        """Of the trained model."""
        return self.output(self.stages[-1]) / "model_final.pth"

    def write(self) -> None:
        """Write ``project.yaml``."""
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "folder"}
        content["stages"] = list(self.stages)
        note = "# What pading train makes of this folder. Made by pading new; edit what you like.\n"
        write_text(self.folder / FILE, note + yaml.safe_dump(content, sort_keys=False))


def is_project(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a project's folder."""
    return os.path.isfile(os.path.join(path, FILE))


def read_project(folder: str | os.PathLike[str]) -> Project:
    """Read a project's ``project.yaml``.

    Raises:
        InputError: missing or malformed; a stage without configuration.
    """
    path = Path(folder) / FILE
    try:
        content = read_yaml(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot read this project: {error.strerror}; pading new makes one"
        ) from error
    where = str(path)
    kinds = {"system": str, "task": str, "images": int, "height": int, "width": int}
    values: dict[str, Any] = {key: field(content, key, kind, where) for key, kind in kinds.items()}
    stages = tuple(field(content, "stages", list, where))
    project = Project(Path(folder), stages=stages, **values)
    if not stages:
        raise InputError(f"{path}: 'stages' is empty; name the configurations in their order")
    for stage in stages:
        if not project.config(stage).is_file():
            raise InputError(f"{project.config(stage)}: there is no such file, but {path} names it")
    return project


def trained_weights(path: str) -> str:
    """The trained model of a project; any other path as it is.

    Raises:
        InputError: the project has not been trained to its end.
    """
    if not is_project(path):
        return path
    weights = read_project(path).weights
    if not weights.is_file():
        raise InputError(f"{weights}: there is no such file yet; run pading train {path} first")
    return str(weights)


def systems() -> dict[str, tuple[str, ...]]:
    """Systems that a project can be of -> their stages, in order."""
    found: dict[str, list[str]] = {}
    for name in list_configs():
        parts = name.split("/")
        if parts[0] == _OWN and len(parts) == 3 and parts[2][0].isdecimal():
            found.setdefault(parts[1], []).append(parts[2])
    return {system: tuple(stages) for system, stages in found.items()}


def base_of(system: str, stage: str) -> str:
    """Name of the configuration that a project's stage builds on."""
    return f"{_OWN}/{system}/{stage}"


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with writing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
