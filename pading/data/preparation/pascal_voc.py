"""Make VOC 2012's augmented training set and the lists of PASCAL-5i's four folds.

    pading prepare pascal_voc
    pading prepare pascal_voc /data/VOCdevkit/VOC2012 --sbd /data/benchmark_RELEASE
    pading prepare pascal_voc --pascal-5i-lists hsnet/data/splits/pascal

VOC 2012 (host.robots.ox.ac.uk/pascal/VOC) and, for the augmented set, the Semantic Boundaries
Dataset (SBD, Hariharan et al., ICCV 2011: benchmark.tgz), unpacked:

    VOC2012/                 VOCdevkit/VOC2012 as it comes
      JPEGImages/  SegmentationClass/  ImageSets/Segmentation/train.txt  val.txt
    benchmark_RELEASE/       beside VOC2012/, or named by --sbd
      dataset/cls/*.mat  dataset/train.txt  dataset/val.txt

adds
- SegmentationClassAug/: the label maps of VOC's training images, and SBD's of all that are neither
  among those nor in VOC's validation set;
- ImageSets/Segmentation/train_aug.txt: these images (10,582);
- ImageSets/PASCAL-5i/{train,val}_{0..3}.txt: the (image, class) pairs of each fold. The published
  pairs (those of HSNet) are taken from --pascal-5i-lists, a folder with trn/ and val/fold0.txt to
  fold3.txt; without it, every class in every image that shows it is a pair. A test asks --queries
  of them, from the first again after the last.

15/5 needs no more files. VOC's and SBD's annotations are published for research; the photographs
are Flickr's, under its terms.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pading.data.image_lists import read_image_list, read_pairs
from pading.data.images import read_label_map, require_size
from pading.data.masks import widened
from pading.data.preparation.fold_pairs import Pairs, all_pairs, cycled, lines_of
from pading.data.preparation.map_making import (
    Entry,
    make_maps,
    print_counts,
    with_sizes,
    write_lines,
)
from pading.data.preparation.mat_files import read_labels_of_mat
from pading.data.preparation.options import add_workers, parsed, parser
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.vocabulary.splits import load_split

_VALUES = 21
_FOLDS = range(4)
_QUERIES = 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare the augmented set and the folds, and print what they hold.

    Raises:
        InputError: a file that is missing or damaged.
    """
    args = _parse(arguments)
    root, sbd = Path(args.root), _sbd_folder(Path(args.root), args.sbd)
    train, val = (
        read_image_list(root / "ImageSets" / "Segmentation" / f"{subset}.txt")
        for subset in ("train", "val")
    )
    listed = {*read_image_list(sbd / "train.txt"), *read_image_list(sbd / "val.txt")}
    more = sorted(listed.difference(train, val))
    own = root / "SegmentationClass"
    entries = [_entry(root, own / f"{stem}.png") for stem in train]
    entries += [_entry(root, sbd / "cls" / f"{stem}.mat") for stem in more]
    entries = with_sizes(entries, args.workers, "train_aug: images")
    made = root / "SegmentationClassAug"
    found = make_maps(made, entries, _VALUES, args.workers, "train_aug: label maps", _read)
    stems = [*train, *more]
    write_lines(root / "ImageSets" / "Segmentation" / "train_aug.txt", stems)

    tested = with_sizes([_entry(root, own / f"{s}.png") for s in val], args.workers, "val: images")
    shown = {
        "train": dict(zip(stems, found, strict=True)),
        "val": {stem: np.unique(_read(e)).tolist() for stem, e in zip(val, tested, strict=True)},
    }
    counts = {"train_aug": {"images": len(stems), "labelled by SBD alone": len(more)}}
    counts["val"] = {"images": len(val)}
    for fold in _FOLDS:
        pairs = _pairs(fold, shown, args.pascal_5i_lists)
        counts[f"pascal_5i_{fold}"] = {"pairs trained": len(pairs["train"])}
        counts[f"pascal_5i_{fold}"]["pairs tested"] = len(pairs["val"])
        for subset, queries in (("train", 0), ("val", args.queries)):
            path = root / "ImageSets" / "PASCAL-5i" / f"{subset}_{fold}.txt"
            write_lines(path, lines_of(cycled(pairs[subset], queries)))
    print_counts(counts)


def _sbd_folder(root: Path, chosen: str | None) -> Path:
    """The folder of cls/ and the lists."""
    first = Path(chosen) if chosen else root.parent / "benchmark_RELEASE"
    for folder in (first, first / "dataset", first / "benchmark_RELEASE" / "dataset"):
        if (folder / "cls").is_dir():
            return folder
    raise InputError(
        f"{first}: SBD's folder dataset/cls is not there; unpack benchmark.tgz, and name its "
        "folder with --sbd",
        "missing",
    )


def _entry(root: Path, source: Path) -> dict[str, Any]:
    return {
        "file_name": str(root / "JPEGImages" / f"{source.stem}.jpg"),
        "sem_seg_file_name": str(source),
        "map_name": f"{source.stem}.png",
    }


def _read(entry: Entry) -> np.ndarray:
    """A label map of VOC or SBD: 0 background, 1 to 20 the classes, IGNORE_LABEL a boundary."""
    path = entry["sem_seg_file_name"]
    if path.endswith(".mat"):
        values = read_labels_of_mat(path, "GTcls", "Segmentation")
    else:
        values = read_label_map(path)
    require_size(path, values.shape, (entry["height"], entry["width"]), "its image")
    labels = widened(values)
    outside = labels[(labels >= _VALUES) & (values != 255)]
    if outside.size:
        raise InputError(
            f"{path}: the value {outside[0]} is no class of VOC's; fetch this file again",
            "outside the split",
        )
    return labels


def _pairs(
    fold: int, shown: dict[str, dict[str, Sequence[int]]], lists: str | None
) -> dict[str, Pairs]:
    """The pairs of training and test; those of training have a class of another fold."""
    name = f"pascal_5i_{fold}"
    split = load_split(name)
    tested = [split.classes[label].id for label in split.unseen]
    trained = [split.classes[label].id for label in split.seen if split.classes[label].id]
    if not lists:
        return {
            "train": all_pairs(shown["train"], trained),
            "val": all_pairs(shown["val"], tested),
        }
    found: dict[str, Pairs] = {"train": [], "val": []}
    for subset, folder, folds in (
        ("train", "trn", [other for other in _FOLDS if other != fold]),
        ("val", "val", [fold]),
    ):
        for number in folds:
            path = Path(lists) / folder / f"fold{number}.txt"
            trains = subset == "train"
            spec = DatasetSpec(name, "semantic", name, "", pairs=str(path), seen_only=trains)
            for stem, label in read_pairs(spec, split):
                if not trains and label not in split.unseen:
                    raise InputError(
                        f"{path}: asks for {split.classes[label].name!r}, which is not of fold "
                        f"{fold}; give the published lists",
                        "outside the split",
                    )
                if stem not in shown[subset]:
                    raise InputError(
                        f"{path}: names the image {stem}, which is not in VOC's "
                        f"{'augmented training' if trains else 'validation'} set; "
                        "give the published lists, and all of SBD",
                        "missing",
                    )
                found[subset].append((stem, split.classes[label].id))
    return found


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("pascal_voc", __doc__, "VOC2012")
    options.add_argument(
        "--sbd", metavar="FOLDER", help="of SBD; default: benchmark_RELEASE beside VOC2012"
    )
    options.add_argument(
        "--pascal-5i-lists", metavar="FOLDER", help="published pairs of PASCAL-5i (trn/ and val/)"
    )
    options.add_argument(
        "--queries",
        type=int,
        default=_QUERIES,
        help="a fold's test asks for, as published; 0: each pair once (%(default)s)",
    )
    add_workers(options)
    return parsed(options, arguments)
