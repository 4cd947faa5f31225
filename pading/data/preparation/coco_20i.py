"""Make the label maps and (image, class) pairs of COCO-20i, COCO 2014 in four folds of 20 classes.

    pading prepare coco_20i
    pading prepare coco_20i /data/coco --workers 8

The images and the instance annotations of COCO 2014 (cocodataset.org):

    coco/
      annotations/instances_train2014.json  instances_val2014.json
      train2014/  val2014/                  82,783 and 40,504 images

adds
- coco_20i/{train2014,val2014}/: PNGs of 0 for none of the 80 classes, 1 to 80 the classes in the
  order of their category ids, 255 crowds. Of instances that overlap, the smaller is in front.
- coco_20i/{train,val}_{0..3}.txt: the pairs of each fold. Trained is every class of the other folds
  in every image that shows it; a test asks --queries pairs, whose classes are drawn at random, and
  then the image among those that show the class (0: every pair once).

COCO's annotations are under CC BY 4.0, its images under Flickr's terms of use.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pading.data.ground_truth import load_instances
from pading.data.masks import IGNORE_LABEL, instance_masks
from pading.data.preparation.fold_pairs import Pairs, all_pairs, lines_of
from pading.data.preparation.map_making import Entry, make_maps, print_counts, write_lines
from pading.data.preparation.options import SUBSETS, add_workers, parsed, parser
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.files import read_json
from pading.vocabulary.splits import ClassInfo, ClassSplit, load_split

_CLASSES = 80
_QUERIES = 1000
_FOLDS = range(4)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare both subsets and print what they hold.

    Raises:
        InputError: a file that is missing or malformed; categories other than COCO's 80.
    """
    args = _parse(arguments)
    root = Path(args.root)
    counts: dict[str, dict[str, int]] = {}
    for subset in SUBSETS:
        spec = DatasetSpec(
            subset,
            "instance",
            "coco_20i",
            f"{subset}2014",
            annotations=f"annotations/instances_{subset}2014.json",
        ).under(root)
        entries = [
            {**entry, "map_name": f"{Path(entry['file_name']).stem}.png"}
            for entry in load_instances(spec, _coco_classes(spec.annotations))
            if entry["annotations"]
        ]
        folder = root / "coco_20i" / f"{subset}2014"
        found = make_maps(
            folder, entries, _CLASSES + 1, args.workers, f"{subset}: label maps", _read
        )
        stems = [entry["map_name"].removesuffix(".png") for entry in entries]
        shown = dict(zip(stems, found, strict=True))
        counts[subset] = {"images with instances": len(entries)}
        for fold in _FOLDS:
            pairs = _pairs(shown, fold, subset)
            counts[subset][f"pairs of fold {fold}"] = len(pairs)
            if subset == "val" and args.queries:
                pairs = _drawn(pairs, args.queries)
            write_lines(root / "coco_20i" / f"{subset}_{fold}.txt", lines_of(pairs))
    print_counts(counts)


def _coco_classes(path: str) -> ClassSplit:
    """COCO's own categories by ascending id."""
    content = read_json(path)
    try:
        classes = sorted((c["id"], c["name"]) for c in content["categories"])
    except (TypeError, KeyError) as error:
        raise InputError(f"{path}: malformed categories ({error!r}); fetch it again") from error
    if len(classes) != _CLASSES:
        raise InputError(
            f"{path}: {len(classes)} categories, but COCO's instances have {_CLASSES}; give its "
            "own instances_*2014.json"
        )
    return ClassSplit("coco", tuple(ClassInfo(i, name, True, False) for i, name in classes))


def _pairs(shown: Mapping[str, Sequence[int]], fold: int, subset: str) -> Pairs:
    split = load_split(f"coco_20i_{fold}")
    labels = split.seen if subset == "train" else split.unseen
    return all_pairs(shown, [split.classes[i].id for i in labels if split.classes[i].id])


def _drawn(pairs: Pairs, queries: int) -> Pairs:
    """A class at random, then an image at random that shows it; always the same ones."""
    by_class: dict[int, list[str]] = {}
    for name, class_id in pairs:
        by_class.setdefault(class_id, []).append(name)
    draw = random.Random(0)
    classes = [draw.choice(sorted(by_class)) for _ in range(queries)] if pairs else []
    return [(draw.choice(by_class[class_id]), class_id) for class_id in classes]


def _read(entry: Entry) -> np.ndarray:
    labels = np.zeros((entry["height"], entry["width"]), dtype=np.uint16)
    annotations: list[dict[str, Any]] = entry["annotations"]
    crowds = [{**a, "iscrowd": 0} for a in annotations if a["iscrowd"]]
    for mask in instance_masks({**entry, "annotations": crowds}):
        labels[mask == 1] = IGNORE_LABEL
    objects = [a["category_id"] for a in annotations if not a["iscrowd"]]
    masks = instance_masks(entry)
    largest_first = sorted(range(len(masks)), key=lambda i: -int(masks[i].sum()))
    for i in largest_first:
        labels[masks[i] == 1] = objects[i] + 1
    return labels


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("coco_20i", __doc__, "coco")
    options.add_argument(
        "--queries",
        type=int,
        default=_QUERIES,
        help="a fold's test asks for, as published; 0: each pair once (%(default)s)",
    )
    add_workers(options)
    return parsed(options, arguments)
