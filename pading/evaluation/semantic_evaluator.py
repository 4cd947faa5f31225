"""The evaluator of semantic results, which keeps them as label maps."""

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from pading.data.masks import IGNORE_LABEL, narrowed, semantic_labels
from pading.evaluation.evaluator import TaskEvaluator
from pading.evaluation.groups import Scores
from pading.evaluation.pixel_scores import count_pixels, summarise_pixels
from pading.files import write_json
from pading.structures import PixelClasses, pixel_classes
from pading.vocabulary.splits import ClassSplit

CONFIDENCE_BINS = 10


class _Record(NamedTuple):
    """What is kept of an image."""

    counts: np.ndarray
    """Of :func:`count_pixels`."""
    confidence: np.ndarray
    """Of :func:`confidence_bins`."""
    png: bytes
    """The label map as a file."""


def confidence_bins(classes: PixelClasses, labels: np.ndarray) -> np.ndarray:
    """How sure pixels were, and how many of them were right: the data of a reliability diagram.

    Args:
        classes: of an image; a pixel's confidence is the share of the best class in the sum of all.
        labels: H x W ground truth, IGNORE_LABEL ignored.

    Returns:
        3 x 10 float64 over equal intervals of confidence: pixels, sum of confidence, right ones.
    """
    guess, best, total = (found.cpu().numpy() for found in classes)
    sure = best.clip(min=0) / np.maximum(total, np.finfo(np.float32).tiny)
    counted = labels != IGNORE_LABEL
    sure, right = sure[counted], (guess == labels)[counted]
    bins = np.minimum((sure * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    weights: tuple[np.ndarray | None, ...] = (None, sure, right)
    return np.stack([np.bincount(bins, w, CONFIDENCE_BINS).astype(np.float64) for w in weights])


class SemanticEvaluator(TaskEvaluator):
    """Scores the model's ``sem_seg`` (K x H x W) against the labels of each image's own files.

    ``output_dir/semantic_predictions.json`` is written last: where it stands, the label maps in
    ``output_dir/semantic_predictions`` are complete (contiguous indices). It holds the name of each
    image's map and :func:`confidence_bins` of them all.

    Args:
        split: the classes.
        output_dir: where the predictions are stored.
    """

    def __init__(self, split: ClassSplit, output_dir: str | Path) -> None:
        super().__init__()
        self._split = split
        self._folder = Path(output_dir) / "semantic_predictions"
        self._json = self._folder.with_suffix(".json")

    @torch.no_grad()
    def record(self, image: Mapping[str, Any], output: Mapping[str, Any]) -> _Record:
        labels = semantic_labels(image)
        classes = pixel_classes(output)
        guess = classes.labels.cpu().numpy()
        png = io.BytesIO()
        Image.fromarray(narrowed(guess, self._split.num_classes)).save(png, "PNG", compress_level=1)
        return _Record(
            count_pixels(labels, guess, self._split.num_classes),
            confidence_bins(classes, labels),
            png.getvalue(),
        )

    def score(self, records: Mapping[Any, Any]) -> tuple[Scores, ...]:
        self._store(records)
        counts = sum(record.counts for record in records.values())
        return (summarise_pixels(counts, self._split),)

    def _store(self, records: Mapping[Any, _Record]) -> None:
        self._json.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        annotations = []
        for image_id, record in records.items():
            name = f"{image_id}.png"
            (self._folder / name).write_bytes(record.png)
            annotations.append({"image_id": image_id, "file_name": name})
        confidence = sum(record.confidence for record in records.values())
        content = {"annotations": annotations, "confidence": np.asarray(confidence).tolist()}
        write_json(self._json, content)
