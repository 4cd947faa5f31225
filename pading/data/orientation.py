"""Masks that were drawn on a picture before it was turned as its EXIF orientation says."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pading.data.images import exif_orientation, read_image, read_unturned
from pading.data.masks import instance_masks, panoptic_ids, semantic_labels

# How much better the outlines must fit one of the two pictures.
_CLEARLY = 1.25


def turned_in_secret(entry: Mapping[str, Any]) -> str:
    """What is to be said of an image that is turned without a change of its size; "" of others.

    Turned upside down, mirrored, or square, an image has the size of its masks either way. Their
    outlines tell: they lie where the picture changes, in the one or the other.

    Args:
        entry: of a data set, with height and width.

    Raises:
        InputError: an unreadable image or mask.
    """
    path = entry["file_name"]
    orientation = exif_orientation(path)
    if orientation == 1:
        return ""
    upright, stored = read_image(path), read_unturned(path)
    if upright.shape != stored.shape:
        return ""  # the size of the masks has told
    outlines = _outlines(entry)
    fits = [int(_changes(picture)[outlines].sum()) for picture in (upright, stored)]
    said = f"{path}: is turned by EXIF (orientation {orientation})"
    if max(fits) <= _CLEARLY * min(fits):
        return f"{said}, and its masks must be of the picture that stands upright"
    if fits[1] > fits[0]:
        return (
            f"{said}, but its masks fit the picture as it is stored, not turned; turn the masks, "
            "or store the picture without the EXIF entry"
        )
    return ""


def _outlines(entry: Mapping[str, Any]) -> np.ndarray:
    """Where two segments meet, (H, W) bool."""
    if entry["task"] == "instance":
        shape = entry["height"], entry["width"]
        maps = [np.zeros(shape, np.uint8), *instance_masks(entry)]
    else:
        maps = [(semantic_labels if entry["task"] == "semantic" else panoptic_ids)(entry)]
    return np.any([_changes(labels[..., None]) > 0 for labels in maps], axis=0)


def _changes(values: np.ndarray) -> np.ndarray:
    """How much each pixel of (H, W, C) differs from those to the right and below, (H, W)."""
    signed = values.astype(np.int64)
    across, down = (np.abs(np.diff(signed, axis=axis)).sum(axis=-1) for axis in (1, 0))
    result = np.zeros(values.shape[:2], dtype=np.int64)
    result[:, :-1] += across
    result[:-1] += down
    return result
