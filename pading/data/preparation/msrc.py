"""Make MSRC v2 a panoptic data set of 21 classes, of which four or five at a time are unseen.

    pading prepare msrc
    pading prepare msrc /data/msrc --source /downloads/MSRC_ObjCategImageDatabase_v2

MSRC v2's photographs (Microsoft Research Cambridge) and the cleaned segments of Malisiewicz and
Efros (BMVC 2007), unpacked in the data set's own folder or in another one, named by --source:

    Images/*.bmp                  591 photographs of about 320 x 213
    newsegmentations_mats/*.mat   "newseg" numbers the segments, "newlabels" has a class of each

makes
- images/: the photographs as PNG;
- panoptic_{train,val}.json with the PNGs of panoptic_{train,val}/ (357 and 234 images) and
  instances_{train,val}.json, in COCO's formats. A face and the body that it touches are one
  person, the segments of a stuff class are one; horses (three images) belong to no class;
- {panoptic,instances}_train_SPLIT_seen.json for every split: the images without an unseen class.

A --source that holds images/, panoptic_{train,val}/ and the four JSON files is taken over as it is.
The photographs are for non-commercial research.
"""

import argparse
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from pading.data.coco_formats import categories, panoptic_png
from pading.data.dataset_rows import MSRC_SPLITS
from pading.data.entry_files import list_folder
from pading.data.ground_truth import parse_panoptic
from pading.data.images import read_image, require_size
from pading.data.preparation.map_making import print_counts, restricted
from pading.data.preparation.mat_files import read_labels_of_mat
from pading.data.preparation.options import SUBSETS, parsed, parser
from pading.data.rle import encode_mask, mask_box
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.files import read_json, write_json, writing
from pading.vocabulary.splits import ClassSplit, load_split

# Photographs are called GROUP_NUMBER_s; t is for training, v for validation, by ascending number.
_SUBSETS = (
    "vvtvvvtvttvvttvtvttvtvttttvttt",
    "ttvttvvtvtvvtttvvvvttvtvvvvttt",
    "vtttttvtttvtvtttttvtvvtvvtvvtt",
    "tvtvttvtttttttvvvtttttvttttttt",
    "vtvvvttvtvvtvtttttvvttttvvtttt",
    "ttttvttttvtttvttttvttvvvttvvtt",
    "tvttvvvvvttvvvvvvttttvtvtvvvtt",
    "tttvtvvvvttvtvtttvttttvttttvvt",
    "tttvtvvtvvttttttvttttttttvtvtt",
    "vvvttvtttttttvvvvttttttttttttttv",
    "ttvtvvtvttvtvttttvvttvttvtvtvv",
    "tvtttvtvvtttvttttvvvtttttttvtvvttt",
    "tvtttvtvvvtttttvvtvtvvvttvtvvt",
    "vtttttttvtttvttvvvvttttttvttvv",
    "vttvvtvttttvvvttttttttvt",
    "vttvttvtvtvtttvvtvvtvttttvtvtv",
    "vtvvttvtvvttttvtttvtvtttvvvttv",
    "tvvtvtvvvtvvvvvtvvttvvvtttvvtt",
    "tvvtvtvvvtttttttvtttvtttvtvttv",
    "vvtvvvvttvvtttvvtvttt",
)
# The authors' classes, from 1, under our names; of no class: horses, and what lies beyond.
_AUTHORS = (
    *("building", "grass", "tree", "cow", "", "sheep", "sky", "mountain", "airplane", "water"),
    *("face", "car", "bicycle", "flower", "sign", "bird", "book", "chair", "road", "cat", "dog"),
    *("body", "boat"),
)
_MATS = "newsegmentations_mats"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare both subsets and all splits, and print what they hold.

    Raises:
        InputError: a file that is missing or damaged, or that is not of MSRC v2.
    """
    args = _parse(arguments)
    root, source = Path(args.root), Path(args.source or args.root)
    if (source / _MATS).is_dir():
        _convert(source, root)
    elif not (source / "panoptic_train.json").is_file():
        raise InputError(
            f"{source}: neither {_MATS}/ and Images/ of the authors nor panoptic_train.json is "
            "here; name the folder with --source",
            "missing",
        )
    elif source.resolve() != root.resolve():
        _take_over(source, root)
    print_counts(_write_seen(root))


def _convert(source: Path, root: Path) -> None:
    """Write images, panoptic and instance annotations out of the authors' files."""
    split = load_split(MSRC_SPLITS[0])
    names = sorted(n.removesuffix(".mat") for n in list_folder(str(source / _MATS)))
    subsets = {name: _subset(name, source) for name in names}
    classes = [{**c, "unseen": 0} for c in categories(split)]
    for subset in SUBSETS:
        images: list[dict[str, Any]] = []
        panoptic: list[dict[str, Any]] = []
        instances: list[dict[str, Any]] = []
        chosen = [name for name in names if subsets[name] == subset]
        for number, name in enumerate(tqdm(chosen, desc=f"{subset}: images"), start=1):
            pixels = read_image(str(source / "Images" / f"{name}.bmp"))
            ids, segments = _segments(source / _MATS / f"{name}.mat", pixels.shape[:2], split)
            with writing(root / "images" / f"{name}.png") as path:
                Image.fromarray(pixels).save(path)
            with writing(root / f"panoptic_{subset}" / f"{name}.png") as path:
                Path(path).write_bytes(panoptic_png(ids))
            height, width = ids.shape
            common = {"file_name": f"{name}.png"}
            images.append({"id": number, **common, "width": width, "height": height})
            panoptic.append({"image_id": number, **common, "segments_info": segments})
            for segment in segments:
                if split.classes[split.contiguous_id[segment["category_id"]]].isthing:
                    mask = encode_mask(ids == segment["id"])
                    own = {"id": len(instances) + 1, "image_id": number, "segmentation": mask}
                    instances.append({**segment, **own})
        for kind, rows in (("instances", instances), ("panoptic", panoptic)):
            content = {"images": images, "annotations": rows, "categories": classes}
            write_json(root / f"{kind}_{subset}.json", content)


def _subset(name: str, source: Path) -> str:
    group, _, number = name.removesuffix("_s").partition("_")
    try:
        letter = _SUBSETS[int(group) - 1][int(number) - 1]
    except (ValueError, IndexError) as error:
        raise InputError(
            f"{source / _MATS / name}.mat: MSRC v2 has no photograph of this name; "
            "leave its authors' files alone in this folder"
        ) from error
    return {"t": "train", "v": "val"}[letter]


def _segments(
    path: Path, size: tuple[int, int], split: ClassSplit
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """A photograph's segments.

    Returns:
        their ids (H, W) from 1, 0 where of no class, and COCO's segments_info.
    """
    numbers = read_labels_of_mat(path, "newseg")
    labels = read_labels_of_mat(path, "newlabels").ravel()
    require_size(str(path), numbers.shape, size, "its photograph")
    named: dict[int, str] = {}
    for number in np.unique(numbers).tolist():
        label = int(labels[number - 1]) if 1 <= number <= len(labels) else 0
        named[number] = _AUTHORS[label - 1] if 1 <= label <= len(_AUTHORS) else ""
    ids = np.zeros(numbers.shape, dtype=np.int64)
    segments: list[dict[str, Any]] = []
    by_name = {info.name: info for info in split.classes}
    stuff = {info.name for info in split.classes if not info.isthing}
    for name, members in _joined(numbers, named, stuff):
        mask = np.isin(numbers, members)
        ids[mask] = len(segments) + 1
        segments.append(
            {
                "id": len(segments) + 1,
                "category_id": by_name[name].id,
                "area": int(mask.sum()),
                "bbox": [int(side) for side in mask_box(mask)],
                "iscrowd": 0,
            }
        )
    return ids, segments


def _joined(
    numbers: np.ndarray, named: Mapping[int, str], stuff: Collection[str]
) -> Iterator[tuple[str, list[int]]]:
    """The class of each segment to be, and the authors' segments that it is made of.

    Args:
        numbers: (H, W), of the authors' segments.
        named: the class of each, "" where of none.
        stuff: the classes whose segments are one.
    """
    people = {number: [number] for number, name in named.items() if name == "body"}
    for face in (number for number, name in named.items() if name == "face"):
        rim = numbers[ndimage.binary_dilation(numbers == face)]
        touching = {body: int((rim == body).sum()) for body in people if body in rim}
        body = max(touching, key=lambda b: touching[b], default=face)
        people.setdefault(body, []).append(face)
    yield from (("person", members) for members in people.values())
    joined: dict[str, list[int]] = {}
    for number, name in named.items():
        if name in stuff:
            joined.setdefault(name, []).append(number)
        elif name not in ("", "face", "body"):
            yield name, [number]
    yield from joined.items()


def _take_over(source: Path, root: Path) -> None:
    """Copy a prepared data set, its JSON files last."""
    folders = ("images", *(f"panoptic_{subset}" for subset in SUBSETS))
    files = [f"{folder}/{name}" for folder in folders for name in list_folder(str(source / folder))]
    files += [f"{kind}_{subset}.json" for kind in ("instances", "panoptic") for subset in SUBSETS]
    for name in tqdm(files, desc="files"):
        if not (source / name).is_file():
            raise InputError(f"{source / name}: this file is missing; prepare it anew", "missing")
        with writing(root / name) as path:
            shutil.copyfile(source / name, path)


def _write_seen(root: Path) -> dict[str, dict[str, int]]:
    """For each split, the training images without an unseen class (of instances: an unseen thing).

    Returns:
        split -> how many images there are of what kind.
    """
    split = load_split(MSRC_SPLITS[0])  # of which the others have the classes
    path = root / "panoptic_train.json"
    panoptic, instances = read_json(path), read_json(root / "instances_train.json")
    spec = DatasetSpec("train", "panoptic", split.name, "images", str(path), "panoptic_train")
    total = len(parse_panoptic(panoptic, spec.under(root), split))
    shown: dict[str, dict[int, set[int]]] = {"panoptic": {}, "instances": {}}
    for row in panoptic["annotations"]:
        shown["panoptic"][row["image_id"]] = {s["category_id"] for s in row["segments_info"]}
    for row in instances["annotations"]:
        shown["instances"].setdefault(row["image_id"], set()).add(row["category_id"])
    counts = {}
    for name in MSRC_SPLITS:
        split = load_split(name)
        unseen = {split.classes[label].id for label in split.unseen}
        counts[name] = {"training images": total}
        for kind, whole in (("panoptic", panoptic), ("instances", instances)):
            images = {image for image, ids in shown[kind].items() if not ids & unseen}
            kept = [row for row in whole["annotations"] if row["image_id"] in images]
            write_json(root / f"{kind}_train_{name}_seen.json", restricted(whole, kept))
            counts[name][f"without an unseen class, {kind}"] = len(images)
    return counts


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("msrc", __doc__, "msrc")
    options.add_argument(
        "--source",
        metavar="FOLDER",
        help="of the authors' files, or of prepared ones; default: the data set's folder",
    )
    return parsed(options, arguments)
