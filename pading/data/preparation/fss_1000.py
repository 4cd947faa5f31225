"""Make FSS-1000's label maps and lists of images.

    pading prepare fss_1000
    pading prepare fss_1000 /data/FSS-1000 --workers 8

fewshot_data.zip (github.com/HKUSTCV/FSS-1000; Li et al., CVPR 2020) unpacked:

    FSS-1000/
      fewshot_data/CLASS/1.jpg ... 10.jpg   photographs of 1000 classes
      fewshot_data/CLASS/1.png ... 10.png   masks of their one object

adds labels/CLASS/1.png ... 10.png (16 bits: 0 "others"; the class's place in the list, plus one)
and lists/train.txt, val.txt, test.txt: the images of 520, 240 and 240 classes. A mask is the object
where it is lighter than half. The authors publish the data without naming a licence; the
photographs are of the web.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pading.data.entry_files import list_folder
from pading.data.images import read_image, require_size
from pading.data.preparation.map_making import (
    Entry,
    make_maps,
    print_counts,
    with_sizes,
    write_lines,
)
from pading.data.preparation.options import add_workers, parsed, parser
from pading.errors import InputError
from pading.vocabulary.folds import FoldClass, load_fold

_CLASSES = 1000
_LIGHT = 128


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare all images and print how many there are.

    Raises:
        InputError: a class without a folder, a photograph without a mask, a damaged file.
    """
    args = _parse(arguments)
    root = Path(args.root)
    val, test = (load_fold("fss_1000", fold) for fold in ("val", "test"))
    counts = {}
    for subset, classes in (("train", val.train), ("val", val.test), ("test", test.test)):
        entries = _entries(root / "fewshot_data", classes)
        entries = with_sizes(entries, args.workers, f"{subset}: images")
        folder = root / "labels"
        make_maps(folder, entries, _CLASSES + 1, args.workers, f"{subset}: label maps", _read)
        stems = [entry["map_name"].removesuffix(".png") for entry in entries]
        write_lines(root / "lists" / f"{subset}.txt", stems)
        counts[subset] = {"classes": len(classes), "images": len(entries)}
    print_counts(counts)


def _entries(folder: Path, classes: Sequence[FoldClass]) -> list[dict[str, Any]]:
    """What there is of some classes; folders may write their names with other punctuation."""
    folders = {_letters(name): name for name in sorted(list_folder(str(folder)))}
    missing = [info.published for info in classes if _letters(info.published) not in folders]
    if missing:
        raise InputError(
            f"{folder}: no folder of the class {missing[0]!r}, nor of {len(missing) - 1} others; "
            "unpack fewshot_data.zip there",
            "missing",
        )
    entries = []
    for info in classes:
        name = folders[_letters(info.published)]
        files = list_folder(str(folder / name))
        stems = sorted(file.removesuffix(".jpg") for file in files if file.endswith(".jpg"))
        for stem in stems:
            if f"{stem}.png" not in files:
                raise InputError(
                    f"{folder / name / stem}.png: there is no such mask, but {stem}.jpg is there; "
                    "unpack fewshot_data.zip again",
                    "missing",
                )
            path = str(folder / name / stem)
            entries.append(
                {"file_name": f"{path}.jpg", "sem_seg_file_name": f"{path}.png", "id": info.id}
                | {"map_name": f"{name}/{stem}.png"}
            )
    if not entries:
        raise InputError(f"{folder}: no photograph *.jpg; unpack fewshot_data.zip there", "empty")
    return entries


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _read(entry: Entry) -> np.ndarray:
    path = entry["sem_seg_file_name"]
    mask = Image.fromarray(read_image(path)).convert("L")
    light = np.asarray(mask) >= _LIGHT
    require_size(path, light.shape, (entry["height"], entry["width"]), "its photograph")
    return np.where(light, entry["id"] + 1, 0).astype(np.uint16)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("fss_1000", __doc__, "FSS-1000")
    add_workers(options)
    return parsed(options, arguments)
