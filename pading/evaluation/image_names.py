"""Images of predictions found in ground truth: by the names of their files where both sides say.

``pading predict`` numbers images by their files' names, which need not be the ids that an
annotation file gives them.
"""

import posixpath
from collections.abc import Mapping
from typing import Any

from pading.errors import InputError
from pading.files import field

Names = Mapping[Any, str]
"""Image id -> name of its file."""


def listed_names(content: Any, path: str) -> dict[Any, str]:
    """The file names of the images that an annotation file lists; nothing where it lists none.

    Raises:
        InputError: an image without an id; two of one name.
    """
    if not isinstance(content, dict) or "images" not in content:
        return {}
    names: dict[Any, str] = {}
    for number, image in enumerate(field(content, "images", list, path)):
        image_id = field(image, "id", (int, str), f"{path}: images[{number}]")
        if isinstance(image.get("file_name"), str):
            names[image_id] = image["file_name"]
    twice = {image_stem(name): image_id for image_id, name in names.items()}
    for image_id, name in names.items():
        if twice[image_stem(name)] != image_id:
            raise InputError(
                f"{path}: the images {image_id} and {twice[image_stem(name)]} are both {name!r}; "
                "give every image a name of its own, or leave one out"
            )
    return names


def image_stem(name: str) -> str:
    """A name below its folder, without extension: a copy in another format is the same image."""
    return posixpath.splitext(posixpath.normpath(name.replace("\\", "/")))[0]


def true_ids(predicted: Names, truth: Names, predictions: Any, ground_truth: Any) -> dict[Any, Any]:
    """The ids that the ground truth gives to the images of the predictions.

    Args:
        predicted: all images of the predictions.
        truth: all of the ground truth.
        predictions: where they are from, for the message.
        ground_truth: likewise.

    Returns:
        predicted id -> true id.

    Raises:
        InputError: an image whose name is not in the ground truth.
    """
    owners = {image_stem(name): image_id for image_id, name in truth.items()}
    last = {posixpath.basename(stem): image_id for stem, image_id in owners.items()}
    if len(last) < len(owners):  # folders tell images apart; else either side may leave them out
        last = {}
    found: dict[Any, Any] = {}
    met: dict[Any, str] = {}
    for image_id, name in predicted.items():
        stem = image_stem(name)
        match = owners.get(stem, last.get(posixpath.basename(stem)))
        if match is None or met.setdefault(match, name) != name:
            wrong = (
                "has no image of its name in" if match is None else f"and {met[match]!r} are one in"
            )
            raise InputError(
                f"{predictions}: the image {name!r} (id {image_id}) {wrong} {ground_truth}; "
                "score predictions of the same data set"
            )
        found[image_id] = match
    return found
