"""From photographs and annotations to a project's files."""

import shutil
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog

from pading.data.catalogue import register
from pading.data.formats.collected import Collected
from pading.data.formats.recognise import read_annotations
from pading.data.survey import Survey, survey
from pading.errors import InputError
from pading.files import write_json
from pading.projects.classes import absolute, split_of_content, vectors_for, with_ids_of
from pading.projects.layout import (
    CLASSES,
    DATA,
    VECTORS,
    Project,
    base_of,
    systems,
    write_text,
)
from pading.projects.project_files import data_row, stage_configuration
from pading.projects.starting_weights import starting_weights, usual_vectors
from pading.projects.subsets import partition, restricted, unseen_ids, write_subset
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import ClassSplit


class FaultyDataError(InputError):
    """Faults of annotations, all at once.

    Args:
        faults: what only the user can mend.
        repairs: what --fix would mend.
    """

    def __init__(self, faults: Sequence[str], repairs: Sequence[str]) -> None:
        super().__init__(f"{len(faults) + len(repairs)} faults")
        self.faults, self.repairs = list(faults), list(repairs)


@dataclass(frozen=True)
class Request:
    """What a project is to be made of; see ``pading new --help``."""

    folder: Path
    annotations: Path
    images: Path | None = None
    labels: Path | None = None
    names: Path | None = None
    val: Path | None = None
    val_images: Path | None = None
    val_labels: Path | None = None
    val_share: float = 0.1
    unseen: tuple[str, ...] = ()
    system: str = "pading"
    task: str = ""
    vectors: str = ""
    weights: Path | None = None
    seed: int = 0
    fix: bool = False


@dataclass
class Created:
    """A project, and what there is to say of its data.

    Args:
        project: what was written.
        split: its classes.
        vectors: theirs.
        formats: what the annotations were recognised as.
        repairs: what --fix has mended.
        entries: dictionaries of the images that are scored, for the sheet of samples.
        shown: subset -> label -> (images, segments, pixels).
        left_out: images that show an unseen class, or nothing, and are neither trained on nor
            scored.
    """

    project: Project
    split: ClassSplit
    vectors: ClassVectors
    formats: list[str]
    repairs: list[str]
    entries: list[dict[str, Any]] = field(default_factory=list)
    shown: dict[str, dict[int, tuple[int, int, int]]] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    left_out: int = 0


def create(request: Request) -> Created:
    """Read, check and write.

    Raises:
        FaultyDataError: faults in the data; nothing is written.
        InputError: what cannot be begun with.
    """
    _check(request)
    weights = starting_weights(request.system, request.weights)
    sources = _read(request)
    train = sources["train"]
    split = split_of_content(train, request.folder.resolve().name, request.unseen)
    if "val" in sources:
        with_ids_of(split, sources["val"])
    stages = systems()[request.system]
    # Nothing half made is left where a run fails.
    folder = request.folder.with_name(f".{request.folder.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        write_json(folder / CLASSES, split.record(), indent=1)
        surveys = {subset: _surveyed(found, folder, subset) for subset, found in sources.items()}
        _refuse_faults(sources, surveys, request.fix)
        encoder = request.vectors or usual_vectors(request.system, weights)
        vectors = vectors_for(split.names, encoder)
        vectors.save(folder / VECTORS)
        shutil.rmtree(folder / "annotations", ignore_errors=True)
        created = _write(request, folder, sources, surveys, split, vectors, stages, weights)
        folder.rename(request.folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return created


def _check(request: Request) -> None:
    if request.folder.exists():
        raise InputError(f"{request.folder}: is there already; remove it, or name a new folder")
    if request.system not in systems():
        raise InputError(f"--system {request.system}: take one of {', '.join(systems())}")
    if not 0 < request.val_share < 1:
        raise InputError(f"--val-share {request.val_share}: give a share between 0 and 1")


def _read(request: Request) -> dict[str, Collected]:
    found = read_annotations(request.annotations, request.images, request.names, request.labels)
    if request.val is not None:
        images = request.val_images or request.images
        scored = read_annotations(request.val, images, request.names, request.val_labels)
        found = {"train": found["train"], "val": scored.get("val", scored["train"])}
        if scored["train"].task != found["train"].task:
            raise InputError(f"--val {request.val}: {scored['train'].format}, unlike --annotations")
    return {
        subset: replace(
            one, images=absolute(one.images), labels=one.labels and absolute(one.labels)
        )
        for subset, one in found.items()
    }


def _surveyed(found: Collected, folder: Path, subset: str) -> Survey:
    """All of a source read and decoded, as pading check-data does."""
    name = f"{folder.name.strip('.').removesuffix('.partial')}: {subset}"
    spec = write_subset(found.content, found, {"name": name, "task": found.task}, folder, "all")
    register(replace(spec.under(folder), split=str(folder / CLASSES)))
    try:
        return survey(name)
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def _refuse_faults(
    sources: Mapping[str, Collected], surveys: Mapping[str, Survey], fix: bool
) -> None:
    faults, repairs = [], []
    for subset, found in sources.items():
        ours = surveys[subset].spec.annotations or surveys[subset].spec.list
        checked = [m for messages in surveys[subset].errors.values() for m in messages]
        faults += [str(error) for error in found.faults]
        faults += [message.replace(ours, found.origin) for message in checked]
        repairs += found.repairs
    if faults or (repairs and not fix):
        raise FaultyDataError(list(dict.fromkeys(faults)), list(dict.fromkeys(repairs)))


def _write(
    request: Request,
    folder: Path,
    sources: Mapping[str, Collected],
    surveys: Mapping[str, Survey],
    split: ClassSplit,
    vectors: ClassVectors,
    stages: tuple[str, ...],
    weights: str,
) -> Created:
    train, val = sources["train"], sources.get("val", sources["train"])
    name = request.folder.resolve().name
    task = request.task or _task_of(request.system, train.task)
    scored = None
    if val is train:
        scored = partition(train, split, task, request.val_share, request.seed)
    everything = {image["id"] for image in train.content["images"]}
    kept = None if scored is None else everything - scored
    contents = {
        "train": restricted(train, split, task, kept, seen_only=True),
        "val": restricted(val, split, task, scored, seen_only=False),
    }
    if not contents["train"]["images"]:
        raise InputError(f"{train.origin}: no image is left to train on", "empty")
    rows = [
        write_subset(
            contents[subset],
            found,
            {"name": f"{name}_{subset}", "task": task, "seen_only": subset == "train"},
            folder,
            subset,
            unseen_ids(split) if subset == "train" else (),
        )
        for subset, found in (("train", train), ("val", val))
    ]
    write_text(folder / DATA, yaml.safe_dump([data_row(spec) for spec in rows], sort_keys=False))
    shown = {}
    chosen: dict[str, list[dict[str, Any]]] = {}
    for subset, source in (("train", "train"), ("val", "val" if "val" in sources else "train")):
        names = {image["id"] for image in contents[subset]["images"]}
        chosen[subset] = [e for e in surveys[source].entries if e["image_id"] in names]
        shown[subset] = _counted(chosen[subset], surveys[source])
    sizes = [(entry["height"], entry["width"]) for entry in chosen["train"]]
    height, width = (round(statistics.median(side)) for side in zip(*sizes, strict=True))
    project = Project(
        request.folder, request.system, task, stages, len(chosen["train"]), height, width
    )
    for number, stage in enumerate(stages):
        own = "" if number else weights
        write_text(folder / f"{stage}.yaml", stage_configuration(project, stage, number, own))
    replace(project, folder=folder).write()
    return Created(
        project,
        split,
        vectors,
        [found.format for found in sources.values()],
        [repair for found in sources.values() for repair in found.repairs],
        chosen["val"],
        shown,
        {subset: len(entries) for subset, entries in chosen.items()},
        len(everything - (scored or set())) - len(contents["train"]["images"]),
    )


def _task_of(system: str, task: str) -> str:
    """The task that a project has: that of its data, or semantic for systems of pixels."""
    from pading.config import load_config
    from pading.models.registry import model_class

    first = load_config(base_of(system, systems()[system][0]))
    given = model_class(first.MODEL.META_ARCHITECTURE).gives
    return task if task in given else given[0]


def _counted(
    entries: Iterable[Mapping[str, Any]], found: Survey
) -> dict[int, tuple[int, int, int]]:
    images: Counter[int] = Counter()
    segments: Counter[int] = Counter()
    pixels: Counter[int] = Counter()
    for entry in entries:
        for label, areas in found.shown[entry["file_name"]].items():
            images[label] += 1
            segments[label] += len(areas)
            pixels[label] += sum(areas)
    return {label: (images[label], segments[label], pixels[label]) for label in images}
