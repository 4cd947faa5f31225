"""What a data set is: one row of the table, or one mapping of a user's YAML or JSON file."""

import os
from collections import Counter
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from pading.config import read_yaml
from pading.errors import InputError
from pading.files import field


@dataclass(frozen=True)
class DatasetSpec:
    """One data set: where its files are, and what they are.

    Args:
        name: what DATASETS.TRAIN and DATASETS.TEST call it.
        task: "panoptic", "instance" or "semantic".
        split: a shipped class split's name, or the path of a split file.
        images: folder of the images, which may lie in folders of their own.
        annotations: JSON file in COCO's panoptic format (panoptic; semantic, if its label maps are
            to come from panoptic ground truth) or COCO's instance format (instance).
        list: text file that names one image a line, without extension, as VOC's ImageSets do; a
            semantic data set with label maps is those images alone. Empty: all of the folder.
        pairs: text file of an image and the id of a class that is asked for in it a line, such as
            2007_000032__01, as the published folds have them; those images alone. A line that
            occurs twice is asked twice.
        labels: folder of COCO's panoptic PNGs, or of semantic label maps (PNG of 8 or, beyond
            254 classes, 16 bits, named as the images are, with the same folders).
        image_suffix: what the names of images end in, where other files lie beside them.
        instances: JSON file in COCO's instance format that a panoptic data set's instances are
            scored against.
        seen_only: promised to hold no unseen class, as training needs. Annotations are checked for
            it; in label maps the pixels of unseen classes become ignored.
        contiguous_labels: label maps hold places in the split (from 0) rather than class ids.
        label_offset: what label maps add to a class id or place: 1 where 0 is background.
        ignored_labels: values of label maps that belong to no class; 255 (of 8 bits) and 65535
            (of 16) always are.
        remedy: what to do where annotations or labels are missing.
    """

    name: str
    task: str
    split: str
    images: str
    annotations: str = ""
    labels: str = ""
    instances: str = ""
    list: str = ""
    pairs: str = ""
    image_suffix: str = ""
    seen_only: bool = False
    contiguous_labels: bool = False
    label_offset: int = 0
    ignored_labels: tuple[int, ...] = ()
    remedy: str = ""

    def under(self, root: str | Path) -> "DatasetSpec":
        """The same with relative paths taken from ``root``."""
        paths: dict[str, Any] = {
            key: os.path.join(root, path)
            for key in ("images", "annotations", "labels", "instances", "list", "pairs")
            if (path := getattr(self, key))
        }
        return replace(self, **paths)


def read_specs(path: str | Path) -> list[DatasetSpec]:
    """The data sets that a YAML or JSON file describes: one mapping or a list of them.

    Keys are the fields of :class:`DatasetSpec`; relative paths are relative to the file.

    Raises:
        InputError: missing or malformed file, unknown or missing keys, wrong types, a name twice.
    """
    try:
        content = read_yaml(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot read this data set file: {error.strerror}; "
            "give the path of a file that there is in DATASETS.FILES"
        ) from error
    rows = content if isinstance(content, list) else [content]
    specs = [_spec_from_row(row, Path(path)) for row in rows]
    for name, count in Counter(spec.name for spec in specs).items():
        if count > 1:
            raise InputError(
                f"{path}: the data set {name!r} occurs twice; give every data set a name of its own"
            )
    return specs


def _spec_from_row(row: Any, path: Path) -> DatasetSpec:
    where = f"{path}: data set"
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a mapping of keys, found {row!r:.80}")
    types = get_type_hints(DatasetSpec)
    kinds = {key: list if get_origin(kind) is tuple else kind for key, kind in types.items()}
    unknown = sorted(str(key) for key in set(row) - set(kinds))
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(kinds)}")
    required = [f.name for f in fields(DatasetSpec) if f.default is MISSING]
    values = {key: field(row, key, kinds[key], where) for key in (*required, *row)}
    if "ignored_labels" in values:
        if not {*map(type, values["ignored_labels"])} <= {int}:
            raise InputError(
                f"{where}: 'ignored_labels' must be a list of numbers, "
                f"not {values['ignored_labels']!r:.80}"
            )
        values["ignored_labels"] = tuple(values["ignored_labels"])
    if values["split"].endswith(".json"):
        values["split"] = os.path.join(path.parent, values["split"])
    return DatasetSpec(**values).under(path.parent)
