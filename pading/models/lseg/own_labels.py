"""Training on data sets that have labels of their own, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pading.models.pixel_classifier import own_classes
from pading.vocabulary.splits import ClassSplit


def by_labels(
    batch: Sequence[Mapping[str, Any]], split: ClassSplit
) -> Iterator[tuple[list[int] | slice, list[int], list[int]]]:
    """The images of a batch that have the same labels, together.

    Args:
        batch: training images.
        split: of the model.

    Yields:
        numbers of images in the batch (a slice where it is all of them), their seen labels, and
        the place of each in the split.
    """
    seen = set(split.seen)
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(batch):
        alike.setdefault(tuple(own_classes(image, split)), []).append(number)
    for own, numbers in alike.items():
        labels = [label for label, place in enumerate(own) if place in seen]
        # A slice copies nothing.
        some = slice(None) if len(alike) == 1 else numbers
        yield some, labels, [own[label] for label in labels]
