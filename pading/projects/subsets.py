"""Which images are trained on and which are scored, and the annotation files of both."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from pading.data.coco_formats import panoptic_png
from pading.data.formats.collected import Collected
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.files import write_json
from pading.projects.layout import CLASSES, write_text
from pading.randomness import generator
from pading.vocabulary.splits import ClassSplit


def becomes_maps(found: Collected, task: str) -> bool:
    """Whether the data are label maps in a project: unseen pixels are ignored in training then."""
    return found.task == "semantic" or (found.task == "instance" and task == "semantic")


def partition(found: Collected, split: ClassSplit, task: str, share: float, seed: int) -> set[Any]:
    """Ids of the images to score: those that cannot be trained on, and a share of the others.

    Images with a mask of an unseen class teach nothing; of label maps, whose unseen pixels are
    ignored in training, every image can be trained on.

    Args:
        found: all images.
        split: the classes.
        task: of the project.
        share: of the images that can be trained on, in (0, 1).
        seed: of the draw.

    Raises:
        InputError: no image is left to train on.
    """
    showing = set() if becomes_maps(found, task) else images_with(found, unseen_ids(split))
    free = sorted(
        (image for image in found.content["images"] if image["id"] not in showing),
        key=lambda image: image["file_name"],
    )
    count = min(len(free) - 1, max(1, round(share * len(free))))
    if count < 0:
        raise InputError(
            f"{found.origin}: every image shows an unseen class, so that none can be trained on; "
            "name fewer as --unseen"
        )
    chosen = generator(seed).permutation(len(free))[:count]
    return {*showing, *(free[place]["id"] for place in chosen)}


def unseen_ids(split: ClassSplit) -> set[int]:
    """Ids of the unseen classes."""
    return {split.classes[label].id for label in split.unseen}


def images_with(found: Collected, ids: Collection[int]) -> set[Any]:
    """Ids of the images with a mask of one of the classes ``ids``."""
    images = set()
    for annotation in found.content.get("annotations", ()):
        segments = annotation.get("segments_info", (annotation,))
        if any(segment.get("category_id") in ids for segment in segments):
            images.add(annotation.get("image_id"))
    return images


def restricted(
    found: Collected, split: ClassSplit, task: str, kept: Collection[Any] | None, seen_only: bool
) -> dict[str, Any]:
    """The content with some of its images alone.

    Args:
        found: all of it.
        split: the classes.
        task: of the project.
        kept: ids of the images; None: all.
        seen_only: leave images out that show an unseen class, or nothing.
    """
    content = found.content
    wanted = {image["id"] for image in content["images"]} if kept is None else set(kept)
    if seen_only and found.task != "semantic":
        unseen = unseen_ids(split)
        if not becomes_maps(found, task):
            wanted -= images_with(found, unseen)
        wanted &= images_with(found, {info.id for info in split.classes} - unseen)
    parts = {"images": [image for image in content["images"] if image["id"] in wanted]}
    if "annotations" in content:
        parts["annotations"] = [a for a in content["annotations"] if a["image_id"] in wanted]
    return {**content, **parts}


def write_subset(
    content: Mapping[str, Any],
    found: Collected,
    spec: Mapping[str, Any],
    folder: Path,
    name: str,
    hidden: Collection[int] = (),
) -> DatasetSpec:
    """Write a subset's annotation file below a project's folder.

    Args:
        content: of the subset.
        found: where it is from.
        spec: name, task and whatever else the row of the data set has.
        folder: of the project.
        name: of the file, without extension.
        hidden: ids of classes whose pixels label maps leave unlabelled.

    Returns:
        the row, with paths below the folder for what lies there.
    """
    row: dict[str, Any] = {"split": CLASSES, "images": found.images, **spec}
    if found.task == "semantic":
        stems = "".join(f"{image['id']}\n" for image in content["images"])
        write_text(folder / "annotations" / f"{name}.txt", stems)
        ignored = tuple(value for value in found.ignored if value != 255)
        row |= {"list": f"annotations/{name}.txt", "labels": found.labels}
        return DatasetSpec(**row, ignored_labels=ignored)
    if found.task == "instance" and row["task"] == "semantic":
        content = as_panoptic(content, folder / "annotations" / name, hidden)
        row["labels"] = f"annotations/{name}"
    elif found.task == "panoptic":
        row["labels"] = found.labels
    write_json(folder / "annotations" / f"{name}.json", content)
    return DatasetSpec(**row, annotations=f"annotations/{name}.json")


def as_panoptic(
    content: Mapping[str, Any], folder: Path, hidden: Collection[int] = ()
) -> dict[str, Any]:
    """Instances as COCO's panoptic format; where they overlap, the smaller is on top.

    Args:
        content: COCO's instances.
        folder: where the PNGs go.
        hidden: ids of classes that cover what is below them, and are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    of_image: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in content["annotations"]:
        of_image.setdefault(annotation["image_id"], []).append(annotation)
    annotations = []
    for image in content["images"]:
        size = (image["height"], image["width"])
        ids = np.zeros(size, dtype=np.int32)
        mine = [a for a in of_image.get(image["id"], []) if not a.get("iscrowd")]
        largest_first = sorted(mine, key=lambda a: -float(a["area"]))
        for number, annotation in enumerate(largest_first, 1):
            shown = annotation["category_id"] not in hidden
            ids[_decoded(annotation["segmentation"], size)] = number if shown else 0
        visible = {*np.unique(ids).tolist()}
        name = f"{image['id']}.png"
        (folder / name).write_bytes(panoptic_png(ids))
        segments = [
            {"id": n, "category_id": a["category_id"], "iscrowd": 0, "area": int((ids == n).sum())}
            for n, a in enumerate(largest_first, 1)
            if n in visible
        ]
        annotations.append({"image_id": image["id"], "file_name": name, "segments_info": segments})
    return {**content, "annotations": annotations}


def _decoded(mask: Any, size: tuple[int, int]) -> np.ndarray:
    if isinstance(mask, list):
        mask = coco_mask.merge(coco_mask.frPyObjects(mask, *size))
    elif isinstance(mask["counts"], list):
        mask = coco_mask.frPyObjects(mask, *size)
    return coco_mask.decode(mask).astype(bool)
