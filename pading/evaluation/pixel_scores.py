"""Semantic scores of a class split: IoU and accuracy, their means, and those weighted by pixels.

Ignored pixels (255) count neither as prediction nor as ground truth; every mean is over the
classes that have ground truth.
"""

import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pading.data.entry_files import list_tree, stem_of
from pading.data.images import read_label_map, read_panoptic_png, segment_ids
from pading.data.masks import IGNORE_LABEL, read_values, semantic_map, widened
from pading.errors import InputError
from pading.evaluation.groups import Metric, Scores, summarise
from pading.evaluation.image_names import image_stem
from pading.evaluation.panoptic_quality import check_images, read_annotations
from pading.vocabulary.splits import ClassSplit

logger = logging.getLogger(__name__)

TASK = "sem_seg"


def score_semantic(
    truth: Mapping[str, np.ndarray], predicted: Mapping[str, np.ndarray], split: ClassSplit
) -> Scores:
    """Score label maps: mIoU, accuracy, frequency-weighted IoU and pixel accuracy.

    Args:
        truth: image -> H x W contiguous indices, 255 ignored; see :class:`LabelMaps`.
        predicted: the same for the predictions; 255 is no class. Images without a prediction count
            as empty ones, with a warning.
        split: the classes.

    Raises:
        InputError: names the image: unknown, of another size, or with a label outside the split.
    """
    missing = check_images(truth, predicted, "the predicted label maps", "the ground truth")
    counts = np.zeros((3, split.num_classes), dtype=np.int64)
    for name in tqdm(truth, "semantic scores", leave=False):
        labels = widened(truth[name])
        guess = np.full(labels.shape, IGNORE_LABEL) if name in missing else widened(predicted[name])
        if guess.shape != labels.shape:
            raise InputError(
                f"prediction of image {name}: is {guess.shape}, its ground truth {labels.shape} "
                "(height, width); predict at the size of the image"
            )
        for what, values in (("prediction", guess), ("ground truth", labels)):
            known = (values >= 0) & (values < split.num_classes) | (values == IGNORE_LABEL)
            if split.num_classes < 255:  # arrays of other widths may still hold 8 bits' value
                known |= values == 255
            outside = values[~known]
            if outside.size:
                raise InputError(
                    f"{what} of image {name}: has label {outside.flat[0]}; the split {split.name} "
                    f"has 0 to {split.num_classes - 1}, and 255 (of 16 bits {IGNORE_LABEL}) is "
                    "ignored"
                )
        counts += count_pixels(labels, guess, split.num_classes)
    return summarise_pixels(counts, split)


def count_pixels(labels: np.ndarray, guess: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels per class that are right, that are its ground truth, and that are predicted as it.

    Args:
        labels: H x W ground truth, 0 to K - 1; anything else is ignored.
        guess: H x W prediction; anything but 0 to K - 1 is no class.
        num_classes: K.

    Returns:
        3 x K, int64.
    """
    labels, guess = labels.astype(np.int64), guess.astype(np.int64)
    valid = labels < num_classes
    labels, guess = labels[valid], np.minimum(guess[valid], num_classes)
    sets = (labels[labels == guess], labels, guess)
    return np.stack([np.bincount(s, minlength=num_classes)[:num_classes] for s in sets])


def summarise_pixels(counts: np.ndarray, split: ClassSplit) -> Scores:
    """The scores that follow from the sum of :func:`count_pixels` over all images."""
    right, truth, guess = counts
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of a class without ground truth
        accuracy = 100 * right / truth
        iou = np.where(truth > 0, 100 * right / (truth + guess - right), np.nan)
    return summarise(
        TASK,
        split,
        [
            Metric("mIoU", iou, harmonic=True, column="iou"),
            Metric("accuracy", accuracy, harmonic=True, column="accuracy"),
            Metric("fwIoU", iou, weights=truth),
            Metric("pixel_accuracy", accuracy, weights=truth),
        ],
        counts={"pixels": truth},
    )


def image_key(name: str) -> str:
    """What a label map is found by: its name, of numbers without leading zeros."""
    return name.lstrip("0") or "0" if name.isdecimal() else name


class LabelMaps(Mapping[str, np.ndarray]):
    """Label maps by the id of the image, each read when it is asked for.

    Args:
        readers: image and what reads its map; numbers are taken without leading zeros, so that
            000000000042.png is image 42.

    Raises:
        InputError: two maps of one image.
    """

    def __init__(self, readers: Iterable[tuple[str, Callable[[], np.ndarray]]]) -> None:
        self._readers: dict[str, Callable[[], np.ndarray]] = {}
        for name, reader in readers:
            image = image_key(name)
            if image in self._readers:
                raise InputError(f"image {image} has two label maps, one of them {name}; keep one")
            self._readers[image] = reader

    def restricted(self, names: Iterable[str]) -> "LabelMaps":
        """Those of the images of these names alone."""
        wanted = {image_key(name) for name in names}
        return LabelMaps((name, read) for name, read in self._readers.items() if name in wanted)

    def __getitem__(self, image: str) -> np.ndarray:
        return self._readers[image]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def folder_labels(folder: str | Path, class_ids: ClassSplit | None = None) -> LabelMaps:
    """The PNG label maps of a folder and the folders in it; the file is named after the image.

    Args:
        folder: of the PNGs.
        class_ids: the values are ids of this split's classes; None: places in the split.

    Raises:
        InputError: no PNG there, or two of one image; when it is read, a broken one, or one with a
            value that is no class id.
    """
    names = [name for name in list_tree(str(folder)) if name.lower().endswith(".png")]
    if not names:
        raise InputError(f"{folder}: has no PNG file; name the folder of the label maps")
    read = read_label_map if class_ids is None else partial(_read_class_ids, split=class_ids)
    return LabelMaps((stem_of(name), partial(read, os.path.join(folder, name))) for name in names)


def _read_class_ids(path: str, split: ClassSplit) -> np.ndarray:
    labels = np.full(IGNORE_LABEL + 1, -1)
    labels[IGNORE_LABEL] = IGNORE_LABEL
    for class_id, label in split.contiguous_id.items():
        if class_id < IGNORE_LABEL:
            labels[class_id] = label
    of_255 = split.contiguous_id.get(255)
    values = read_values(path, None if of_255 is None else split.names[of_255])
    found = labels[values]
    if (found < 0).any():
        raise InputError(
            f"{path}: the value {values[found < 0][0]} is no class id of the split {split.name}"
        )
    return found


def archive_labels(path: str | Path) -> LabelMaps:
    """The label maps of an ``.npz`` file; the array is named after the image.

    Raises:
        InputError: no such file, or no archive; a broken array when it is read.
    """
    broken = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)

    def read(name: str) -> np.ndarray:
        try:
            return archive[name]
        except broken as error:
            raise InputError(
                f"{path}: the array {name} is broken: {error}; write it again"
            ) from error

    try:
        archive = np.load(path, allow_pickle=False)
    except broken as error:
        raise InputError(f"{path}: cannot be read: write an .npz file, as np.savez does") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError(f"{path}: is one array; store one for each image, as np.savez does")
    return LabelMaps((name, partial(read, name)) for name in archive.files)


def panoptic_labels(
    json_file: str | Path,
    folder: str | Path,
    split: ClassSplit,
    predicted: Collection[str] = (),
    named_by_file: bool = False,
) -> LabelMaps:
    """Label maps out of COCO panoptic ground truth, named as the predicted ones are.

    Args:
        json_file: the annotations.
        folder: of their PNGs.
        split: the classes.
        predicted: names of the predicted maps: ids of the images, or the names of their files.
        named_by_file: whether they are known to be the names of the files.

    Raises:
        InputError: see :func:`~pading.evaluation.panoptic_quality.read_annotations`; predictions
            named by ids that are other images' files; a broken PNG when it is read.
    """

    def read(path: str, segments: Sequence[Mapping[str, Any]]) -> np.ndarray:
        return semantic_map(segment_ids(read_panoptic_png(path)), segments)

    by_id, by_file = {}, {}
    for image_id, annotation in read_annotations(
        json_file, folder, split, ground_truth=True
    ).items():
        segments = [
            {"id": s["id"], "category_id": split.contiguous_id[s["category_id"]]}
            for s in annotation["segments_info"]
        ]
        reader = partial(read, str(Path(folder) / annotation["file_name"]), segments)
        by_id[str(image_id)] = reader
        if "image_name" in annotation:
            by_file[image_stem(annotation["image_name"])] = reader
    if len(by_file) < len(by_id):
        return LabelMaps(by_id.items())
    if named_by_file:
        return LabelMaps(by_file.items())
    ids, files = ({image_key(name): r for name, r in found.items()} for found in (by_id, by_file))
    names = set(predicted)
    if not names <= set(files):
        return LabelMaps(by_id.items())
    if not names <= set(ids):
        return LabelMaps(by_file.items())
    for name in sorted(names):
        if ids[name] is not files[name]:
            raise InputError(
                f"{json_file}: the label map {name} may be that of the image with this id or of "
                "the image with this file name, which are two; name the maps as the image files "
                "are, and give the images such ids"
            )
    return LabelMaps(by_id.items())
