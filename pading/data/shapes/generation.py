"""The Shapes data set: synthetic scenes on disk, in COCO's panoptic and instance formats.

    ROOT/manifest.json                        written last: version, settings, classes, counts
    ROOT/{train,val}/000001.png               images
    ROOT/panoptic_{train,val}/000001.png      segment ids as colours (R + 256 G + 65536 B)
    ROOT/annotations/panoptic_{train,val}.json
    ROOT/annotations/instances_{train,val}.json   things only, masks as compressed RLE

Training scenes are drawn from the seen classes alone, validation scenes from all. Scene i of a
subset depends on the seed, the subset and i only, so the bytes are the same however many threads
draw (for the same versions of NumPy and Pillow).
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from panopticapi.utils import id2rgb
from PIL import Image
from pycocotools import mask as coco_mask
from tqdm import tqdm

from pading.data.shapes.scenes import REGIONS, Look, Scene, draw_scene, parse_look
from pading.errors import InputError
from pading.files import read_json
from pading.vocabulary.splits import ClassSplit

MANIFEST = "manifest.json"
SUBSETS = ("train", "val")
# Counts up whenever the same settings give other pictures or files.
_VERSION = 1
_MIN_SIZE = 64
# Segment ids fill the 24 bits that COCO's colour coding has; 0 is its "no segment".
_SEGMENT_IDS = 256**3


@dataclass(frozen=True)
class ShapesSettings:
    """What decides a Shapes data set, besides its classes.

    Args:
        seed: any integer from 0; another seed gives other scenes of the same kind.
        train: number of training scenes, at least 1.
        val: number of validation scenes, at least 1.
        size: side of the square images in pixels, at least 64.

    Raises:
        InputError: a value outside its range.
    """

    seed: int = 0
    train: int = 2400
    val: int = 300
    size: int = 128

    def __post_init__(self) -> None:
        least = {"seed": 0, "train": 1, "val": 1, "size": _MIN_SIZE}
        for key, value in asdict(self).items():
            if value < least[key]:
                raise InputError(f"Shapes: {key} is {value}; it must be at least {least[key]}")


def generate(
    root: str | Path,
    split: ClassSplit,
    settings: ShapesSettings | None = None,
    overwrite: bool = False,
    workers: int | None = None,
) -> bool:
    """Make the data set under ``root``, unless it is there already.

    Everything is written to a folder beside ``root`` that is renamed at the end, so an interrupted
    run leaves no ``root`` (only a hidden ``.ROOT.*.partial`` folder, which may be deleted).

    Args:
        root: the folder to make.
        split: its classes; a name says what the class looks like (see
            :mod:`pading.data.shapes.scenes`). Any combinations may be unseen.
        settings: seed, counts and size; the defaults where None.
        overwrite: replace a Shapes data set of other settings or classes.
        workers: threads, by default one per core.

    Returns:
        Whether it was made: False where ``root`` holds exactly this data set.

    Raises:
        InputError: a class that cannot be drawn; too few classes to draw from; ``root`` holds
            something else, or another Shapes data set and ``overwrite`` is False; ``root`` cannot
            be written.
    """
    root = Path(root)
    settings = settings or ShapesSettings()
    looks = {label: parse_look(info) for label, info in enumerate(split.classes)}
    _check_vocabulary(split)
    manifest = _manifest(split, settings)
    if _is_finished(root, manifest, overwrite):
        return False
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(
            tempfile.mkdtemp(prefix=f".{root.name}.", suffix=".partial", dir=root.parent)
        )
    except OSError as error:
        raise InputError(
            f"{root}: cannot make this folder: {error.strerror}; name another place"
        ) from error
    replaced = partial.with_suffix(".replaced")
    try:
        for subset in SUBSETS:
            _write_subset(partial, subset, split, looks, settings, workers or os.cpu_count() or 1)
        _dump(partial / MANIFEST, manifest)
        partial.chmod(0o755)  # mkdtemp's folder is its owner's alone
        if root.exists():
            root.rename(replaced)  # whole or away: deleting takes time
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
    return True


def _manifest(split: ClassSplit, settings: ShapesSettings) -> dict[str, Any]:
    return {
        "data_set": "shapes",
        "version": _VERSION,
        **asdict(settings),
        "split": split.name,
        "classes": [asdict(info) for info in split.classes],
    }


def _is_finished(root: Path, manifest: dict[str, Any], overwrite: bool) -> bool:
    """Whether ``root`` holds this data set; InputError where it holds what must not be replaced."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    if not (root / MANIFEST).is_file():
        raise InputError(
            f"{root}: this is no finished Shapes data set ({MANIFEST} is missing); move it away or "
            "choose another folder"
        )
    found = read_json(root / MANIFEST)
    if not isinstance(found, dict) or found.get("data_set") != manifest["data_set"]:
        raise InputError(f"{root / MANIFEST}: not written by Shapes; choose another folder")
    other = [key for key, value in manifest.items() if found.get(key) != value]
    if not other:
        return True
    if overwrite:
        return False
    raise InputError(
        f"{root}: holds a Shapes data set of another {', '.join(other)}; choose another folder or "
        "ask to overwrite it"
    )


def _check_vocabulary(split: ClassSplit) -> None:
    things = len(set(split.seen) & set(split.things))
    stuff = len(set(split.seen) & set(split.stuff))
    if things < 1 or stuff < REGIONS[0]:
        raise InputError(
            f"class split {split.name!r}: Shapes needs at least 1 thing and {REGIONS[0]} stuff "
            f"classes that are seen, and finds {things} and {stuff}"
        )


def _write_subset(
    root: Path,
    subset: str,
    split: ClassSplit,
    looks: dict[int, Look],
    settings: ShapesSettings,
    workers: int,
) -> None:
    allowed = split.seen if subset == "train" else range(split.num_classes)
    allowed_looks = {label: looks[label] for label in allowed}
    for folder in (subset, f"panoptic_{subset}", "annotations"):
        (root / folder).mkdir(exist_ok=True)
    count = getattr(settings, subset)

    def make(image_id: int) -> list[dict[str, Any]]:
        rng = np.random.default_rng([settings.seed, SUBSETS.index(subset), image_id])
        scene = draw_scene(rng, allowed_looks, settings.size)
        ids = 1 + rng.choice(_SEGMENT_IDS - 1, len(scene.labels), replace=False)
        name = f"{image_id:06d}.png"
        Image.fromarray(scene.image).save(root / subset / name)
        colours = id2rgb(ids[None])[0]
        Image.fromarray(colours[scene.segments]).save(root / f"panoptic_{subset}" / name)
        return _describe(scene, ids, split)

    image_ids = range(1, count + 1)
    with ThreadPoolExecutor(workers) as pool:
        described = list(
            tqdm(pool.map(make, image_ids), f"Shapes {subset}", total=count, unit="scene")
        )
    images = [
        {
            "id": image_id,
            "file_name": f"{image_id:06d}.png",
            "width": settings.size,
            "height": settings.size,
        }
        for image_id in image_ids
    ]
    _dump(
        root / "annotations" / f"panoptic_{subset}.json",
        {
            "images": images,
            "annotations": _panoptic_annotations(images, described),
            "categories": _categories(split, range(split.num_classes), looks),
        },
    )
    _dump(
        root / "annotations" / f"instances_{subset}.json",
        {
            "images": images,
            "annotations": _instance_annotations(images, described, split),
            "categories": _categories(split, split.things, looks),
        },
    )


def _describe(scene: Scene, ids: np.ndarray, split: ClassSplit) -> list[dict[str, Any]]:
    """One entry per segment, in COCO's terms, with its mask as RLE."""
    entries = []
    for index, label in enumerate(scene.labels):
        rle = coco_mask.encode(np.asfortranarray(scene.segments == index, dtype=np.uint8))
        entries.append(
            {
                "id": int(ids[index]),
                "category_id": split.classes[label].id,
                "area": int(coco_mask.area(rle)),
                "bbox": [int(value) for value in coco_mask.toBbox(rle)],
                "iscrowd": 0,
                "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
            }
        )
    return entries


def _panoptic_annotations(
    images: Sequence[dict[str, Any]], described: Sequence[list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image["id"],
            "file_name": image["file_name"],
            "segments_info": [
                {key: value for key, value in entry.items() if key != "segmentation"}
                for entry in entries
            ],
        }
        for image, entries in zip(images, described, strict=True)
    ]


def _instance_annotations(
    images: Sequence[dict[str, Any]],
    described: Sequence[list[dict[str, Any]]],
    split: ClassSplit,
) -> list[dict[str, Any]]:
    things = {split.classes[label].id for label in split.things}
    pairs = [
        (image["id"], entry)
        for image, entries in zip(images, described, strict=True)
        for entry in entries
        if entry["category_id"] in things
    ]
    return [
        {**entry, "id": number, "image_id": image_id}
        for number, (image_id, entry) in enumerate(pairs, start=1)
    ]


def _categories(
    split: ClassSplit, labels: Sequence[int], looks: dict[int, Look]
) -> list[dict[str, Any]]:
    return [
        {
            "id": split.classes[label].id,
            "name": split.classes[label].name,
            "supercategory": looks[label].form,
            "isthing": int(looks[label].isthing),
            "color": list(looks[label].rgb),
        }
        for label in labels
    ]


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
