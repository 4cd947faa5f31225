"""What demonstrations of per-pixel systems share: random class vectors, a sheet of scenes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pading import load
from pading.data.catalogue import datasets_root
from pading.data.ground_truth import LOADERS
from pading.data.masks import semantic_labels
from pading.data.spec import DatasetSpec
from pading.visualize import SheetRow, segments_of_labels, write_sheet
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import load_split


def random_vectors(path: Path, seed: int, spec: DatasetSpec, width: int) -> Path:
    """Write vectors of a data set's classes that mean nothing, ``width`` numbers each."""
    split = load_split(spec.split)
    drawn = torch.randn(split.num_classes, width, generator=torch.Generator().manual_seed(seed))
    ClassVectors(split.names, drawn.numpy(), f"random, seed {seed}").save(path)
    return path


def draw_scenes(
    trained: Mapping[str, Path], spec: DatasetSpec, path: Path, count: int, title: str
) -> None:
    """A sheet of the scenes with the most pixels of unseen classes.

    Args:
        trained: checkpoints by heading; each fills a column beside the ground truth.
        spec: the scenes.
        path: of the picture.
        count: of scenes.
        title: of the sheet.
    """
    split = load_split(spec.split)
    entries = LOADERS[spec.task](spec.under(datasets_root()), split)
    labels = {entry["file_name"]: semantic_labels(entry) for entry in entries}

    def unseen_pixels(name: str) -> int:
        return int(np.isin(labels[name], split.unseen).sum())

    chosen = sorted(labels, key=unseen_pixels, reverse=True)[:count]
    places = np.zeros(max(split.contiguous_id) + 1, dtype=np.uint8)
    for class_id, label in split.contiguous_id.items():
        places[class_id] = label
    images = {name: np.asarray(Image.open(name).convert("RGB")) for name in chosen}
    panels = {name: {"ground truth": segments_of_labels(labels[name])} for name in chosen}
    for heading, checkpoint in trained.items():
        predictor = load(checkpoint)
        for name, image in images.items():
            found = places[predictor.predict(image).semantic]
            panels[name][heading] = segments_of_labels(found)
    rows = [SheetRow(images[name], panels[name]) for name in chosen]
    write_sheet(rows, split, path, title=title)
