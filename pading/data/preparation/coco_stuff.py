"""Make zero-shot semantic label maps from COCO-Stuff's pixel maps, for the 156/15 split.

    pading prepare coco_stuff
    pading prepare coco_stuff /data/coco

writes, beside COCO-Stuff's folders, maps with contiguous labels of the full class split and 255 for
unlabelled pixels:

- <train labels>_<split>_seen/: pixels of unseen classes are ignored (255) as well;
- <val labels>_<split>/: all classes.

It can be interrupted and run again: finished maps are kept unless what they were made from has
changed since, and no file is ever half written.
"""

import argparse
import os
from collections.abc import Sequence

from pading.data.ground_truth import load_semantic
from pading.data.preparation.map_making import make_maps, print_counts, with_sizes
from pading.data.preparation.options import add_split, add_subsets, add_workers, parsed, parser
from pading.data.spec import DatasetSpec
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
    sized = with_sizes(load_semantic(spec, split), workers, f"{spec.name}: images")
    entries = [
        {**e, "map_name": os.path.relpath(e["sem_seg_file_name"], spec.labels)} for e in sized
    ]
    folder = f"{spec.labels}_{split.name}" + "_seen" * spec.seen_only
    what = f"{spec.name}: label maps"
    class_ids = [info.id for info in split.classes]
    found = make_maps(folder, entries, split.num_classes, workers, what, class_ids=class_ids)
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
    options = parser("coco_stuff", __doc__, "coco")
    add_subsets(options, _LAYOUT)
    add_split(options, "coco_stuff_156_15")
    add_workers(options)
    return parsed(options, arguments)
