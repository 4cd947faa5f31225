"""The table of data sets: a row each of files, task and class split; one loop registers them."""

import difflib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from pading.data.ground_truth import IGNORE_LABEL, load_panoptic
from pading.data.spec import DatasetSpec, read_specs
from pading.data.splits import ClassSplit, load_split
from pading.errors import InputError

ROOT_VARIABLE = "DETECTRON2_DATASETS"
_LOADERS = {"panoptic": load_panoptic}
_READ_ME = "datasets/README.md says how to lay it out"


_PREPARE = "make it with datasets/prepare_coco_panoptic.py"
_GENERATE = "make it with datasets/prepare_shapes.py"

DATASETS: tuple[DatasetSpec, ...] = (
    DatasetSpec(
        name="coco_panoptic_119_14_train",
        task="panoptic",
        split="coco_panoptic_119_14",
        images="coco/train2017",
        annotations="coco/annotations/panoptic_train2017_coco_panoptic_119_14_seen.json",
        labels="coco/panoptic_train2017",
        seen_only=True,
        remedy=_PREPARE,
    ),
    DatasetSpec(
        name="coco_panoptic_119_14_val",
        task="panoptic",
        split="coco_panoptic_119_14",
        images="coco/val2017",
        annotations="coco/annotations/panoptic_val2017.json",
        labels="coco/panoptic_val2017",
        remedy=_READ_ME,
    ),
    DatasetSpec(
        name="shapes_panoptic_train",
        task="panoptic",
        split="shapes",
        images="shapes/train",
        annotations="shapes/annotations/panoptic_train.json",
        labels="shapes/panoptic_train",
        seen_only=True,
        remedy=_GENERATE,
    ),
    DatasetSpec(
        name="shapes_panoptic_val",
        task="panoptic",
        split="shapes",
        images="shapes/val",
        annotations="shapes/annotations/panoptic_val.json",
        labels="shapes/panoptic_val",
        remedy=_GENERATE,
    ),
)


def datasets_root() -> str:
    """The folder that holds the data sets: $DETECTRON2_DATASETS, by default ``datasets``."""
    return os.path.expanduser(os.environ.get(ROOT_VARIABLE, "datasets"))


def register(spec: DatasetSpec) -> None:
    """Register a data set (its paths as they are); one of the same name is replaced.

    Nothing is read but the class split; the ground truth is loaded and checked by
    ``DatasetCatalog.get``. MetadataCatalog gets ``split`` (the ClassSplit), ``task``,
    ``seen_only``, the folders and what Detectron2's visualizer reads.

    Raises:
        InputError: an unknown task, or a split that cannot be loaded.
    """
    if spec.task not in _LOADERS:
        raise InputError(
            f"data set {spec.name!r}: there is no task {spec.task!r}; "
            f"take one of {', '.join(_LOADERS)}"
        )
    split = load_split(spec.split)
    if spec.name in DatasetCatalog:
        DatasetCatalog.remove(spec.name)
        MetadataCatalog.remove(spec.name)
    DatasetCatalog.register(spec.name, partial(_load, spec, split))
    MetadataCatalog.get(spec.name).set(
        split=split,
        task=spec.task,
        seen_only=spec.seen_only,
        image_root=spec.images,
        panoptic_root=spec.labels,
        panoptic_json=spec.annotations,
        # Labels are places in the full list for things and stuff alike.
        thing_classes=list(split.names),
        stuff_classes=list(split.names),
        thing_dataset_id_to_contiguous_id={split.classes[i].id: i for i in split.things},
        stuff_dataset_id_to_contiguous_id={split.classes[i].id: i for i in split.stuff},
        ignore_label=IGNORE_LABEL,
    )


def register_datasets(cfg: CfgNode) -> None:
    """Register :data:`DATASETS` below ``datasets_root()``, and the files of DATASETS.FILES.

    Raises:
        InputError: what :func:`register_from_file` refuses.
    """
    for spec in DATASETS:
        register(spec.under(datasets_root()))
    for path in cfg.DATASETS.FILES:
        register_from_file(path)


def register_from_file(path: str | Path) -> tuple[str, ...]:
    """Register the user's own data sets, as :func:`~pading.data.spec.read_specs` reads them.

    Returns:
        the names registered.

    Raises:
        InputError: what reading the file or :func:`register` refuses.
    """
    specs = read_specs(path)
    for spec in specs:
        register(spec)
    return tuple(spec.name for spec in specs)


def split_of(names: Sequence[str]) -> ClassSplit:
    """The class split that the named data sets share.

    Raises:
        InputError: no name, a name that is not registered, or two different splits.
    """
    if not names:
        raise InputError("no data set is named; set DATASETS.TRAIN and DATASETS.TEST")
    first, *others = names
    split = metadata_of(first).split
    for other in others:
        if metadata_of(other).split != split:
            raise InputError(
                f"the data sets {first!r} and {other!r} have different class splits "
                f"({split.name!r} and {metadata_of(other).split.name!r}); "
                "one model takes one split, so name data sets of the same"
            )
    return split


def metadata_of(name: str) -> Any:
    """Detectron2's metadata of a registered data set.

    Raises:
        InputError: it is not registered, or not by :func:`register`.
    """
    known = [n for n in DatasetCatalog.list() if "split" in MetadataCatalog.get(n).as_dict()]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the data sets are {', '.join(known)}"
        raise InputError(f"there is no data set {name!r} (DATASETS.TRAIN, DATASETS.TEST); {hint}")
    return MetadataCatalog.get(name)


def _load(spec: DatasetSpec, split: ClassSplit) -> list[dict[str, Any]]:
    for folder in filter(None, (spec.images, spec.labels)):
        if not os.path.isdir(folder):
            raise InputError(
                f"{folder}: data set {spec.name!r} needs this folder; set {ROOT_VARIABLE} to where "
                f"the data sets are (now {datasets_root()!r}); {_READ_ME}"
            )
    dicts = _LOADERS[spec.task](spec, split)
    if not dicts:
        raise InputError(f"{spec.annotations}: no annotated image; {spec.remedy or _READ_ME}")
    return dicts
