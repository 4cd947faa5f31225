"""Make zero-shot instance files from COCO 2014's own annotations, for the 48/17 and 65/15 splits.

    pading prepare coco_instances
    pading prepare coco_instances /data/coco

writes, beside COCO's files, for each split

- <train annotations>_<split>_seen.json: images with seen instances and without any unseen one;
- <val annotations>_<split>_gzsi.json: instances of all classes of the split;
- <val annotations>_<split>_zsi.json: instances of its unseen classes;

each with its own categories only, in the split's order, and without the images that have no
instance left. The files are made anew by every run, and none is ever half written.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pading.data.preparation.map_making import print_counts, restricted
from pading.data.preparation.options import add_subsets, parsed, parser
from pading.errors import InputError
from pading.files import field, read_json, write_json
from pading.vocabulary.splits import ClassSplit, load_split

_LAYOUT = {"ANNOTATIONS": "annotations/instances_{}2014.json"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare the subsets asked for and print what they hold.

    Raises:
        InputError: a missing or malformed file; a class of the split that the file does not have.
    """
    args = _parse(arguments)
    splits = [load_split(name) for name in args.splits]
    counts: dict[str, dict[str, int]] = {}
    for subset in args.subsets:
        path = Path(args.root, *getattr(args, subset))
        content = _read(path)
        kinds = ("seen",) if subset == "train" else ("gzsi", "zsi")
        jobs = [(split, kind) for split in splits for kind in kinds]
        for split, kind in tqdm(jobs, desc=f"{subset}: annotation files"):
            selected = _select(content, split, kind, args.keep_images, str(path))
            write_json(path.with_name(f"{path.stem}_{split.name}_{kind}.json"), selected)
            counts[f"{split.name} {subset} {kind}"] = _count(selected, split)
    print_counts(counts)


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    for key in ("images", "annotations", "categories"):
        field(content, key, list, str(path))
    for number, category in enumerate(content["categories"]):
        field(category, "id", int, f"{path}: category {number} (counted from 0)")
    for number, annotation in enumerate(content["annotations"]):
        for key in ("image_id", "category_id"):
            field(annotation, key, int, f"{path}: annotation {number} (counted from 0)")
    return content


def _select(
    content: dict[str, Any], split: ClassSplit, kind: str, keep_images: bool, path: str
) -> dict[str, Any]:
    categories = {c["id"]: c for c in content["categories"]}
    for info in split.classes:
        name = categories.get(info.id, {}).get("name")
        if name != info.name:
            raise InputError(
                f"{path}: category {info.id} is {name!r}, but {info.name!r} in the class split "
                f"{split.name!r}; give the annotations that the split is made for"
            )
    unseen = {split.classes[i].id for i in split.unseen}
    seen = {split.classes[i].id for i in split.seen}
    wanted = {"seen": seen, "gzsi": seen | unseen, "zsi": unseen}[kind]
    left_out: set[int] = set()
    if kind == "seen" and not keep_images:
        left_out = {a["image_id"] for a in content["annotations"] if a["category_id"] in unseen}
    annotations = [
        a
        for a in content["annotations"]
        if a["category_id"] in wanted and a["image_id"] not in left_out
    ]
    chosen = [categories[info.id] for info in split.classes if info.id in wanted]
    return {**restricted(content, annotations), "categories": chosen}


def _count(content: dict[str, Any], split: ClassSplit) -> dict[str, int]:
    labels = [split.contiguous_id[a["category_id"]] for a in content["annotations"]]
    unseen = sum(split.classes[label].unseen for label in labels)
    return {
        "images": len(content["images"]),
        "instances": len(labels),
        "instances of seen classes": len(labels) - unseen,
        "instances of unseen classes": unseen,
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("coco_instances", __doc__, "coco")
    add_subsets(options, _LAYOUT)
    options.add_argument(
        "--splits",
        nargs="+",
        default=["coco_instance_48_17", "coco_instance_65_15"],
        help="shipped class splits or .json files; default: both of COCO's",
    )
    options.add_argument(
        "--keep-images",
        action="store_true",
        help="train: keep images that hold unseen instances too, without those instances",
    )
    return parsed(options, arguments)
