"""Semantic scores of a class split: IoU and accuracy, their means, and those weighted by pixels.

Ignored pixels (255) count neither as prediction nor as ground truth; every mean is over the
classes that have ground truth.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pading.data.datasets import IGNORE_LABEL
from pading.data.images import read_label_map, read_panoptic_png, segment_ids
from pading.data.splits import ClassSplit
from pading.errors import InputError
from pading.evaluation.evaluator import TaskEvaluator
from pading.evaluation.groups import Metric, Scores, summarise
from pading.evaluation.panoptic import check_images, read_annotations

logger = logging.getLogger(__name__)

TASK = "sem_seg"


def score_semantic(
    truth: Mapping[str, np.ndarray], predicted: Mapping[str, np.ndarray], split: ClassSplit
) -> Scores:
    """Score label maps: mIoU, accuracy, frequency-weighted IoU and pixel accuracy.

    Args:
        truth: name of an image -> H x W contiguous indices, 255 ignored; such as
            :class:`LabelFolder` or :class:`PanopticLabels`, which read one at a time.
        predicted: the same for the predictions (an ``.npz`` file's content does); 255 is no class.
            Images without a prediction count as empty ones, with a warning.
        split: the classes.

    Raises:
        InputError: names the image: unknown, of another size, or with a label outside the split.
    """
    missing = check_images(truth, predicted, "the predicted label maps", "the ground truth")
    counts = np.zeros((3, split.num_classes), dtype=np.int64)
    for name in tqdm(truth, "semantic scores", leave=False):
        labels = truth[name]
        guess = np.full_like(labels, IGNORE_LABEL) if name in missing else predicted[name]
        if guess.shape != labels.shape:
            raise InputError(
                f"prediction of image {name}: is {guess.shape}, its ground truth {labels.shape} "
                "(height, width); predict at the size of the image"
            )
        for what, values in (("prediction", guess), ("ground truth", labels)):
            known = (values >= 0) & (values < split.num_classes) | (values == IGNORE_LABEL)
            outside = values[~known]
            if outside.size:
                raise InputError(
                    f"{what} of image {name}: has label {outside.flat[0]}; the split {split.name} "
                    f"has 0 to {split.num_classes - 1}, and {IGNORE_LABEL} is ignored"
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


def read_panoptic_labels(png_file: str | Path, segments: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The label map (H x W, uint8) of a panoptic PNG; what no segment covers is ignored.

    Args:
        png_file: ids in its colours.
        segments: "id" and "category_id" (contiguous) of each.
    """
    ids = segment_ids(read_panoptic_png(str(png_file)))
    labels = np.full(ids.shape, IGNORE_LABEL, dtype=np.uint8)
    for segment in segments:
        labels[ids == segment["id"]] = segment["category_id"]
    return labels


class PanopticLabels(Mapping[str, np.ndarray]):
    """Label maps out of COCO panoptic ground truth, by image id; each is read when it is asked for.

    Raises:
        InputError: see :func:`~pading.evaluation.panoptic.read_annotations`.
    """

    def __init__(self, json_file: str | Path, folder: str | Path, split: ClassSplit) -> None:
        annotations = read_annotations(json_file, split, ground_truth=True)
        self._annotations = {str(image_id): entry for image_id, entry in annotations.items()}
        self._folder = Path(folder)
        self._split = split

    def __getitem__(self, name: str) -> np.ndarray:
        annotation = self._annotations[name]
        segments = [
            {"id": s["id"], "category_id": self._split.contiguous_id[s["category_id"]]}
            for s in annotation["segments_info"]
        ]
        return read_panoptic_labels(self._folder / annotation["file_name"], segments)

    def __iter__(self) -> Iterator[str]:
        return iter(self._annotations)

    def __len__(self) -> int:
        return len(self._annotations)


class LabelFolder(Mapping[str, np.ndarray]):
    """The PNG label maps of a folder by name, without leading zeros: "42" is 000000000042.png.

    Raises:
        InputError: no PNG in the folder, or two of one name; a broken one when it is read.
    """

    def __init__(self, folder: str | Path) -> None:
        self._files: dict[str, Path] = {}
        for path in sorted(Path(folder).glob("*.png")):
            name = path.stem.lstrip("0") or "0"
            if name in self._files:
                raise InputError(f"{path}: is the same image as {self._files[name]}; keep one")
            self._files[name] = path
        if not self._files:
            raise InputError(f"{folder}: has no PNG file; name the folder of the label maps")

    def __getitem__(self, name: str) -> np.ndarray:
        return read_label_map(str(self._files[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class SemanticEvaluator(TaskEvaluator):
    """Scores the model's ``sem_seg`` (K x H x W) against the label map or panoptic PNG of an image.

    Args:
        split: the classes.
    """

    def __init__(self, split: ClassSplit) -> None:
        super().__init__()
        self._split = split

    def record(self, image: Mapping[str, Any], output: Mapping[str, Any]) -> np.ndarray:
        if "sem_seg_file_name" in image:
            labels = read_label_map(image["sem_seg_file_name"])
        else:
            labels = read_panoptic_labels(image["pan_seg_file_name"], image["segments_info"])
        guess = output["sem_seg"].argmax(dim=0).cpu().numpy()
        return count_pixels(labels, guess, self._split.num_classes)

    def score(self, records: Mapping[Any, Any]) -> tuple[Scores, ...]:
        return (summarise_pixels(sum(records.values()), self._split),)
