"""What annotation files declare although it follows from their masks, and what differs.

Neither training nor scoring heeds areas; boxes of instances are scored where they are the masks'.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pading.data.annotation_checks import check_categories
from pading.data.mask_geometry import box_of, is_box_of
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.files import read_json
from pading.vocabulary.splits import ClassSplit

Declared = Mapping[Any, Mapping[Any, Mapping[str, Any]]]
"""Image id -> id of a segment or annotation -> its entry in the file."""


def read_declared(spec: DatasetSpec, split: ClassSplit) -> tuple[Declared, list[str]]:
    """The entries of an annotation file as they are, and its categories by other names.

    What cannot be read is left out: the loaders say why.
    """
    found: dict[Any, dict[Any, Mapping[str, Any]]] = defaultdict(dict)
    try:
        content = read_json(spec.annotations) if spec.annotations else {}
        notes = check_categories(content, split, spec.annotations)
    except InputError:
        return found, []
    annotations = content.get("annotations", ()) if isinstance(content, dict) else ()
    for annotation in annotations if isinstance(annotations, list) else ():
        if not isinstance(annotation, dict):
            continue
        segments = annotation.get("segments_info", [annotation])
        for segment in segments if isinstance(segments, list) else ():
            if isinstance(segment, dict):
                image_id, number = annotation.get("image_id"), segment.get("id")
                if isinstance(image_id, int | str) and isinstance(number, int):
                    found[image_id][number] = segment
    return found, notes


def area_differs(entry: Mapping[str, Any], pixels: int, slack: int = 0) -> Iterator[str]:
    """What to say of a declared area that is not that of the mask.

    Args:
        entry: of the file.
        pixels: of the mask.
        slack: pixels that the two may differ by.
    """
    area = entry.get("area", pixels)
    is_number = isinstance(area, int | float) and not isinstance(area, bool)
    if not is_number or abs(area - pixels) > slack:
        yield f"the area is {area!r:.80}, but its mask has {pixels} pixels; the mask counts"


def instance_differs(
    entry: Mapping[str, Any], annotation: Mapping[str, Any], mask: np.ndarray
) -> Iterator[str]:
    """What to say of the area and the box of an instance that are not those of its mask.

    Args:
        entry: of the file.
        annotation: of :func:`~pading.data.ground_truth.load_instances`.
        mask: H x W, 0 or 1.
    """
    outline = annotation["segmentation"]
    # The area inside a polygon differs from its pixels by some of those on its border.
    edges = sum(int(np.count_nonzero(np.diff(mask, axis=axis))) for axis in (0, 1))
    yield from area_differs(entry, int(mask.sum()), edges if isinstance(outline, list) else 0)
    box = box_of(outline, mask.shape)
    declared = entry.get("bbox", box)
    if not is_box_of(declared, outline, mask.shape):
        yield f"the bbox is {declared!r:.80}, but that of its mask is {box}; the mask counts"
