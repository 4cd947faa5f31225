"""Make zero-shot panoptic training files from COCO's own: the seen-only JSON and the semantic maps.

    pading prepare coco_panoptic
    pading prepare coco_panoptic /data/coco

writes, beside COCO's files,

- <train annotations>_<split>_seen.json: the training images without any unseen segment;
- <labels>_<split>_semantic/: their semantic maps and those of all validation images, as 8-bit
  PNG with contiguous labels of the full class split, 255 for unlabelled pixels.

It can be interrupted and run again: finished maps are kept unless what they were made from has
changed since, and no file is ever half written.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pading.data.ground_truth import parse_panoptic
from pading.data.preparation.map_making import make_maps, print_counts, restricted
from pading.data.preparation.options import add_split, add_subsets, add_workers, parsed, parser
from pading.data.spec import DatasetSpec
from pading.files import read_json, write_json
from pading.vocabulary.splits import ClassSplit, load_split

_LAYOUT = {
    "ANNOTATIONS": "annotations/panoptic_{}2017.json",
    "IMAGES": "{}2017",
    "LABELS": "panoptic_{}2017",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare the subsets asked for and print what they hold.

    Raises:
        InputError: a file that is missing, malformed or damaged; a category outside the split.
    """
    args = _parse(arguments)
    split = load_split(args.split)
    counts = {}
    for subset in args.subsets:
        annotations, images, labels = getattr(args, subset)
        spec = DatasetSpec(subset, "panoptic", args.split, images, annotations, labels)
        counts[subset] = _prepare(spec.under(args.root), split, subset == "train", args.workers)
    print_counts(counts)


def _prepare(spec: DatasetSpec, split: ClassSplit, seen_only: bool, workers: int) -> dict[str, int]:
    content = read_json(spec.annotations)
    entries = parse_panoptic(content, spec, split)
    # Named below the folder, sub-folders and all: two of them may hold files of one name.
    kept = [
        {**e, "map_name": os.path.relpath(e["pan_seg_file_name"], spec.labels)}
        for e in entries
        if not (seen_only and _unseen(e, split))
    ]
    folder = f"{spec.labels}_{split.name}_semantic"
    what = f"{spec.name}: semantic maps"
    class_ids = [info.id for info in split.classes]
    make_maps(folder, kept, split.num_classes, workers, what, class_ids=class_ids)
    if seen_only:  # after the maps: every label file has been read
        path = Path(spec.annotations)
        path = path.with_name(f"{path.stem}_{split.name}_seen.json")
        ids = {e["image_id"] for e in kept}
        seen = restricted(content, [a for a in content["annotations"] if a["image_id"] in ids])
        write_json(path, seen)
        print(f"{path}: {len(kept)} of {len(entries)} images")
    unseen = sum(_unseen(e, split) for e in entries)
    return {
        "images": len(entries),
        "images kept": len(kept),
        "segments": _segments(entries),
        "segments of seen classes": _segments(entries) - unseen,
        "segments of unseen classes": unseen,
        "segments kept": _segments(kept),
    }


def _unseen(entry: dict[str, Any], split: ClassSplit) -> int:
    return sum(split.classes[s["category_id"]].unseen for s in entry["segments_info"])


def _segments(entries: list[dict[str, Any]]) -> int:
    return sum(len(e["segments_info"]) for e in entries)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("coco_panoptic", __doc__, "coco")
    add_subsets(options, _LAYOUT)
    add_split(options, "coco_panoptic_119_14")
    add_workers(options)
    return parsed(options, arguments)
