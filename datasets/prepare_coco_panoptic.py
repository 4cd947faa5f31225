"""Make zero-shot panoptic training files from COCO's own: the seen-only JSON and the semantic maps.

    python datasets/prepare_coco_panoptic.py

writes, beside COCO's files,

- ``<train annotations>_<split>_seen.json``: the training images without any unseen segment;
- ``<labels>_<split>_semantic/``: their semantic maps and those of all validation images, as
  8-bit PNG with contiguous labels of the full class split, 255 for unlabelled pixels.

It can be interrupted and run again: finished maps are kept, and no file is ever half written.
"""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from preparing import default_workers, print_counts, run_jobs, run_script

from pading.data.datasets import datasets_root
from pading.data.files import read_json, replacing, write_json
from pading.data.ground_truth import parse_panoptic, semantic_map
from pading.data.images import check_image, read_panoptic_png, require_size, segment_ids
from pading.data.spec import DatasetSpec
from pading.data.splits import ClassSplit, load_split
from pading.errors import InputError

SUBSETS = ("train", "val")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare the subsets asked for and print what they hold.

    Raises:
        InputError: a file that is missing, malformed or damaged; a category outside the split.
    """
    args = _parse(arguments)
    split = load_split(args.split)
    if split.num_classes > 255:
        raise InputError(
            f"class split {split.name!r} has {split.num_classes} classes, "
            "but an 8-bit label map has room for 255"
        )
    counts = {}
    for subset in args.subsets:
        annotations, images, labels = getattr(args, subset)
        spec = DatasetSpec(subset, "panoptic", args.split, images, annotations, labels)
        counts[subset] = _prepare(spec.under(args.root), split, subset == "train", args.workers)
    print_counts(counts)


def _prepare(spec: DatasetSpec, split: ClassSplit, seen_only: bool, workers: int) -> dict[str, int]:
    content = read_json(spec.annotations)
    entries = parse_panoptic(content, spec, split)
    kept = [e for e in entries if not (seen_only and _unseen(e, split))]
    counts = {
        "images": len(entries),
        "images kept": len(kept),
        "segments": _segments(entries),
        "segments kept": _segments(kept),
        "segments of seen classes": _segments(entries) - sum(_unseen(e, split) for e in entries),
        "segments of unseen classes": sum(_unseen(e, split) for e in entries),
    }
    if seen_only:
        path = Path(spec.annotations)
        path = path.with_name(f"{path.stem}_{split.name}_seen.json")
        write_json(path, _restricted(content, {e["image_id"] for e in kept}))
        print(f"wrote {path}")
    folder = f"{spec.labels}_{split.name}_semantic"
    made = run_jobs(partial(_make_map, folder), kept, workers, f"{spec.name}: semantic maps")
    print(f"wrote {sum(made)} maps to {folder}, kept {len(made) - sum(made)}")
    return counts


def _unseen(entry: dict[str, Any], split: ClassSplit) -> int:
    return sum(split.classes[s["category_id"]].unseen for s in entry["segments_info"])


def _segments(entries: list[dict[str, Any]]) -> int:
    return sum(len(e["segments_info"]) for e in entries)


def _restricted(content: dict[str, Any], image_ids: set[int | str]) -> dict[str, Any]:
    return {
        **content,
        "images": [image for image in content["images"] if image["id"] in image_ids],
        "annotations": [a for a in content["annotations"] if a["image_id"] in image_ids],
    }


def _make_map(folder: str, entry: dict[str, Any]) -> bool:
    """Write one image's semantic map; False where a finished one is there already."""
    source = entry["pan_seg_file_name"]
    size = (entry["height"], entry["width"])
    target = os.path.join(folder, os.path.basename(source))
    if os.path.exists(target) and _is_finished(target, size):
        return False
    colours = read_panoptic_png(source)
    require_size(source, colours.shape[:2], size, "its annotation")
    labels = semantic_map(segment_ids(colours), entry["segments_info"])
    with replacing(target) as temporary:
        Image.fromarray(labels).save(temporary)
    return True


def _is_finished(path: str, size: tuple[int, int]) -> bool:
    try:
        return check_image(path) == size
    except InputError:
        return False  # damaged since: made anew


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", default=os.path.join(datasets_root(), "coco"), help="default: %(default)s"
    )
    parser.add_argument(
        "--split",
        default="coco_panoptic_119_14",
        help="a shipped class split or a .json file; default: %(default)s",
    )
    for subset in SUBSETS:
        parser.add_argument(
            f"--{subset}",
            nargs=3,
            metavar=("ANNOTATIONS", "IMAGES", "LABELS"),
            default=[
                f"annotations/panoptic_{subset}2017.json",
                f"{subset}2017",
                f"panoptic_{subset}2017",
            ],
            help="JSON file, image folder and PNG folder below the root; default: %(default)s",
        )
    parser.add_argument(
        "--subsets", nargs="+", choices=SUBSETS, default=list(SUBSETS), help="default: both"
    )
    parser.add_argument(
        "--workers", type=int, default=default_workers(), help="processes; default: %(default)s"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_script(main)
