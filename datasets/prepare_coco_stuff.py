"""Make zero-shot semantic label maps from COCO-Stuff's pixel maps, for the 156/15 split.

    python datasets/prepare_coco_stuff.py

writes, beside COCO-Stuff's folders, maps with contiguous labels of the full class split and 255 for
unlabelled pixels:

- <train labels>_<split>_seen/: pixels of unseen classes are ignored (255) as well;
- <val labels>_<split>/: all classes.

It can be interrupted and run again: finished maps are kept, and no file is ever half written.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from preparing import add_split_and_workers, make_maps, parser, print_counts
from tqdm.contrib.concurrent import thread_map

from pading.data.ground_truth import load_semantic
from pading.data.images import check_image
from pading.data.spec import DatasetSpec
from pading.errors import exit_on_input_error
from pading.vocabulary.splits import ClassSplit, load_split

_LAYOUT = {"IMAGES": "{}2017", "LABELS": "stuffthingmaps/{}2017"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare the subsets asked for and print what they hold.

    Raises:
        InputError: a file that is missing or damaged; a value outside the split.
    """
    args = _parse(arguments)
    split = load_split(args.split)
    counts = {}
    for subset in args.subsets:
        images, labels = getattr(args, subset)
        spec = DatasetSpec(
            subset, "semantic", args.split, images, labels=labels, seen_only=subset == "train"
        ).under(args.root)
        counts[subset] = _prepare(spec, split, args.workers)
    print_counts(counts)


def _prepare(spec: DatasetSpec, split: ClassSplit, workers: int) -> dict[str, int]:
    def with_size(entry: dict[str, Any]) -> dict[str, Any]:
        height, width = check_image(entry["file_name"])
        return {**entry, "height": height, "width": width}

    entries = thread_map(
        with_size, load_semantic(spec, split), desc=f"{spec.name}: images", max_workers=workers
    )
    folder = f"{spec.labels}_{split.name}" + "_seen" * spec.seen_only
    found = make_maps(folder, entries, split, workers, f"{spec.name}: label maps")
    unseen = [sum(split.classes[label].unseen for label in labels) for labels in found]
    segments = sum(map(len, found))
    return {
        "images": len(found),
        "images with unseen classes": sum(map(bool, unseen)),
        "segments (one for each class of an image)": segments,
        "segments of seen classes": segments - sum(unseen),
        "segments of unseen classes": sum(unseen),
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__, _LAYOUT)
    add_split_and_workers(options, "coco_stuff_156_15")
    return options.parse_args(arguments)


if __name__ == "__main__":
    exit_on_input_error(main)
