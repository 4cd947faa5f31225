"""The table of data sets: a row each of files, task and class split; one loop registers them."""

import difflib
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from pading.data.dataset_rows import DATASETS
from pading.data.entry_files import OnError, raise_error
from pading.data.ground_truth import LOADERS
from pading.data.masks import IGNORE_LABEL
from pading.data.spec import DatasetSpec, read_specs
from pading.errors import InputError
from pading.vocabulary.joint_split import joint_split
from pading.vocabulary.splits import ClassSplit, load_split

ROOT_VARIABLE = "DETECTRON2_DATASETS"
_NEEDS = {
    "panoptic": ("annotations", "labels"),
    "instance": ("annotations",),
    "semantic": ("labels",),
}
_READ_ME = "datasets/README.md says how to lay it out"


def datasets_root() -> str:
    """The folder that holds the data sets: $DETECTRON2_DATASETS, by default ``datasets``."""
    return os.path.expanduser(os.environ.get(ROOT_VARIABLE, "datasets"))


def register(spec: DatasetSpec) -> None:
    """Register a data set (its paths as they are); one of the same name is replaced.

    Nothing is read but the class split; the ground truth is loaded and checked by
    ``DatasetCatalog.get``. MetadataCatalog gets ``spec``, ``split`` (the ClassSplit),
    ``task``, ``seen_only``, the files and what Detectron2's visualizer reads.

    Raises:
        InputError: an unknown task, a key that the task needs or does not have, or a split that
            cannot be loaded.
    """
    if spec.task not in _NEEDS:
        raise InputError(
            f"data set {spec.name!r}: there is no task {spec.task!r}; "
            f"take one of {', '.join(_NEEDS)}"
        )
    for key in _NEEDS[spec.task]:
        if not getattr(spec, key):
            raise InputError(f"data set {spec.name!r}: a {spec.task} data set needs {key!r}")
    for key in ("list", "pairs", "image_suffix", "label_offset"):
        if getattr(spec, key) and (spec.task != "semantic" or spec.annotations):
            raise InputError(
                f"data set {spec.name!r}: {key!r} is for semantic data sets with label maps; "
                "leave it out"
            )
    split = load_split(spec.split)
    if spec.name in DatasetCatalog:
        DatasetCatalog.remove(spec.name)
        MetadataCatalog.remove(spec.name)
    DatasetCatalog.register(spec.name, partial(load_entries, spec, split))
    MetadataCatalog.get(spec.name).set(
        spec=spec,
        split=split,
        task=spec.task,
        seen_only=spec.seen_only,
        image_root=spec.images,
        **_evaluation_files(spec),
        # Labels are places in the full list for things and stuff alike.
        thing_classes=list(split.names),
        stuff_classes=list(split.names),
        thing_dataset_id_to_contiguous_id={split.classes[i].id: i for i in split.things},
        stuff_dataset_id_to_contiguous_id={split.classes[i].id: i for i in split.stuff},
        ignore_label=IGNORE_LABEL,
    )


def register_datasets(cfg: CfgNode) -> None:
    """Register :data:`DATASETS` below ``datasets_root()``, and the files of DATASETS.FILES.

    Those of DATASETS.TRAIN and TEST get the class split DATASETS.SPLIT, where it is given.

    Raises:
        InputError: what :func:`register_from_file` refuses; two files with data sets of one name.
            When they are loaded: label maps to which the class split would give another meaning.
    """
    for spec in DATASETS:
        register(spec.under(datasets_root()))
    owner: dict[str, str] = {}
    for path in cfg.DATASETS.FILES:
        for name in register_from_file(path):
            if name in owner:
                raise InputError(
                    f"{path}: the data set {name!r} is in {owner[name]} too; "
                    "give every data set a name of its own"
                )
            owner[name] = path
    if cfg.DATASETS.SPLIT:
        for name in dict.fromkeys((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)):
            metadata = metadata_of(name)
            register(replace(metadata.spec, split=cfg.DATASETS.SPLIT))
            if _means_something_else(metadata.spec, metadata.split, cfg.DATASETS.SPLIT):
                # Whoever does not read the maps, as prediction, may go on.
                refuse = partial(_refuse_maps, name, metadata.split.name, cfg.DATASETS.SPLIT)
                DatasetCatalog.remove(name)
                DatasetCatalog.register(name, refuse)


def _means_something_else(spec: DatasetSpec, own: ClassSplit, other: str) -> bool:
    """Whether label maps hold places in their own split that another does not begin with."""
    places = [[info.id for info in split.classes] for split in (own, load_split(other))]
    return spec.contiguous_labels and places[1][: own.num_classes] != places[0]


def _refuse_maps(name: str, own: str, other: str) -> list[dict[str, Any]]:
    raise InputError(
        f"DATASETS.SPLIT {other}: the label maps of data set {name!r} hold places in the split "
        f"{own!r}, whose classes this one does not begin with; score a model without some of them "
        "on data whose labels are class ids, such as panoptic data"
    )


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


def configured_split(cfg: CfgNode) -> ClassSplit:
    """The classes of a configuration's model.

    They are those of DATASETS.TRAIN and TEST, which share a split; or with DATASETS.OWN_LABELS all
    that TRAIN has.

    Raises:
        InputError: data sets that do not fit each other, or none.
    """
    names = [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]
    if not cfg.DATASETS.OWN_LABELS:
        return split_of(names)
    if cfg.DATASETS.SPLIT:
        raise InputError(
            f"DATASETS.SPLIT {cfg.DATASETS.SPLIT} gives all data sets one split, and "
            "DATASETS.OWN_LABELS lets each have its own; leave one of them out"
        )
    if not cfg.DATASETS.TRAIN:
        raise InputError(
            "DATASETS.OWN_LABELS takes the classes of DATASETS.TRAIN, which is empty; name the "
            "data sets that the model was trained on"
        )
    return joint_split([metadata_of(name).split for name in cfg.DATASETS.TRAIN])


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
                "one model takes one split, so name data sets of the same, or set "
                "DATASETS.OWN_LABELS True where the system takes that"
            )
    return split


def metadata_of(name: str) -> Any:
    """Detectron2's metadata of a registered data set.

    Raises:
        InputError: it is not registered, or not by :func:`register`.
    """
    # Detectron2's own data sets may have a "split" as well (voc_2007_val: the text "val").
    known = [
        known_name
        for known_name in DatasetCatalog.list()
        if isinstance(MetadataCatalog.get(known_name).get("split"), ClassSplit)
    ]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the data sets are {', '.join(known)}"
        raise InputError(f"there is no data set {name!r} (DATASETS.TRAIN, DATASETS.TEST); {hint}")
    return MetadataCatalog.get(name)


def load_entries(
    spec: DatasetSpec, split: ClassSplit, on_error: OnError = raise_error
) -> list[dict[str, Any]]:
    """The dictionaries of a data set, by its task's loader of :mod:`pading.data.ground_truth`.

    Raises:
        InputError: a missing folder, no entry, and what the loader refuses.
    """
    for folder in filter(None, (spec.images, spec.labels)):
        if not os.path.isdir(folder):
            raise InputError(
                f"{folder}: data set {spec.name!r} needs this folder; set {ROOT_VARIABLE} to where "
                f"the data sets are (now {datasets_root()!r}); {spec.remedy or _READ_ME}",
                "missing",
            )
    entries = LOADERS[spec.task](spec, split, on_error)
    if not entries:
        source = spec.annotations or spec.labels
        raise InputError(f"{source}: no annotated image; {spec.remedy or _READ_ME}", "empty")
    return entries


def _evaluation_files(spec: DatasetSpec) -> dict[str, str]:
    """The ground truth of the evaluators, under the names that Detectron2 has for it."""
    if spec.task == "panoptic":
        return {
            "panoptic_json": spec.annotations,
            "panoptic_root": spec.labels,
            "instance_json": spec.instances,
        }
    return {"instance_json": spec.annotations} if spec.task == "instance" else {}
