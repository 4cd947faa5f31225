"""Folders of label maps to be scored: which files belong to them, and what their values mean."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pading.data.annotation_checks import check_categories
from pading.data.map_manifest import read_manifest
from pading.data.masks import IGNORE_LABEL, widened
from pading.errors import InputError
from pading.evaluation.image_names import image_stem, listed_names
from pading.evaluation.pixel_scores import LabelMaps, folder_labels, logger
from pading.files import field, read_json
from pading.vocabulary.splits import ClassSplit

MEANINGS = ("class-ids", "places")
_OPTION = "--ground-truth-values"


def truth_folder(folder: str | Path, split: ClassSplit, meaning: str | None) -> LabelMaps:
    """The label maps of ground truth.

    Args:
        folder: of the PNGs.
        split: the classes.
        meaning: of the values, one of MEANINGS; None: what the manifest of prepared maps says, else
            the one that the values allow.

    Raises:
        InputError: maps prepared for another split; values that may be ids as well as places, and
            are not the same; what :func:`folder_labels` refuses.
    """
    manifest = read_manifest(folder)
    places = folder_labels(folder)
    if manifest is not None and manifest.values:
        manifest.check(split)
        return _only(places, [os.path.splitext(name)[0] for name in manifest.maps], folder)
    if meaning is None:
        meaning = _meaning(places, split, folder)
    return places if meaning == "places" else folder_labels(folder, split)


def _meaning(maps: LabelMaps, split: ClassSplit, folder: str | Path) -> str:
    ids, places = set(split.contiguous_id), set(range(split.num_classes))
    if [info.id for info in split.classes] == sorted(places):
        return "places"
    both = sorted(ids & places)
    for labels in maps.values():
        values = {*np.unique(widened(labels)).tolist()} - {IGNORE_LABEL}
        if not values <= ids:
            return "places"
        if not values <= places:
            return "class-ids"
    raise InputError(
        f"{folder}: the values of these label maps may be class ids of {split.name!r} or places in "
        f"it (such as {both[0]}, {split.classes[split.contiguous_id[both[0]]].name!r} or "
        f"{split.names[both[0]]!r}); say which, with {_OPTION} class-ids or {_OPTION} places"
    )


def predicted_folder(
    folder: str | Path, split: ClassSplit, class_ids: bool
) -> tuple[LabelMaps, bool]:
    """The predicted label maps of a folder, and whether they are named after the images' files.

    What ``pading predict`` and the evaluators write beside the folder says which maps are theirs:
    those of an earlier run are left out, with a warning.

    Args:
        folder: of the PNGs.
        split: the classes.
        class_ids: whether the values are class ids; those of ``pading predict`` always are.

    Raises:
        InputError: what :func:`folder_labels` refuses; predictions of other classes.
    """
    beside = Path(f"{Path(folder)}.json")
    content = read_json(beside) if beside.is_file() else None
    if not isinstance(content, dict):
        return folder_labels(folder, split if class_ids else None), False
    if set(content) == {"images", "categories"}:
        for note in check_categories(content, split, str(beside))[:1]:
            logger.warning(note)
        names = listed_names(content, str(beside)).values()
        # Two images of one stem are told apart by their extensions.
        own = [key for name in names for key in (image_stem(name), name)]
        return _only(folder_labels(folder, split), own, folder), True
    maps = folder_labels(folder, split if class_ids else None)
    if set(content) == {"annotations", "confidence"}:
        own = [Path(field(a, "file_name", str, str(beside))).stem for a in content["annotations"]]
        return _only(maps, own, folder), False
    return maps, False


def _only(maps: LabelMaps, names: Iterable[str], folder: str | Path) -> LabelMaps:
    found = maps.restricted(names)
    if len(found) < len(maps):
        logger.warning(
            "%s: %d of %d label maps are not of the run that made the others, and are left out",
            folder,
            len(maps) - len(found),
            len(maps),
        )
    return found
