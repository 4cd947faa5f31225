"""The files of a prediction: those of each image, and those that all images have in common."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from pading.data.coco_formats import categories, panoptic_png
from pading.data.masks import MOST_CLASSES
from pading.errors import InputError
from pading.files import replacing, write_json
from pading.prediction.result import Prediction, draw_prediction, finish
from pading.prediction.result_formats import fiftyone_sample
from pading.vocabulary.splits import ClassSplit

IMAGES_FILE = "images.json"
"""How the images are called: detections name them by their ids alone."""
TASKS = ("panoptic", "instance", "semantic")


FORMS: dict[str, Callable[[Prediction, Path, float], tuple[str, Any]]] = {
    "yolo": lambda found, _, least: ("{}.txt", found.to_yolo(least)),
    "label_maps": lambda found, _, least: ("{}.png", found.to_label_map(least)),
    "datumaro": lambda found, path, least: (
        "items/{}.json",
        json.dumps(found.to_datumaro(least, path.name)),
    ),
    "fiftyone": lambda found, path, least: (
        "{}.json",
        fiftyone_sample(found, path, least).to_json(),
    ),
}
"""Other forms that each image can be written in -> of the result, the image's file and the least
score: the name of the file, with {} for the image's, and its content."""


@dataclass(frozen=True)
class Source:
    """An image file, the name of its results (without extension), and its id in them."""

    path: Path
    name: str
    image_id: int | str


@dataclass(frozen=True)
class Record:
    """What the files in common hold of one image."""

    image: dict[str, Any]
    annotation: dict[str, Any] | None
    detections: list[dict[str, Any]] | None


def require_label_ids(split: ClassSplit, tasks: Sequence[str]) -> None:
    """Refuse semantic results of classes whose ids label maps have no room for.

    Raises:
        InputError: names the class.
    """
    largest = max(split.classes, key=lambda info: info.id)
    if "semantic" in tasks and largest.id >= MOST_CLASSES:
        raise InputError(
            f"class split {split.name!r}: the class {largest.name!r} has the id {largest.id}, and "
            f"the 16 bits of label maps leave room for 0 to {MOST_CLASSES - 1}; give it another "
            "id, or leave semantic results out (MODEL.INFERENCE.SEMANTIC_ON False)"
        )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot write ({error.strerror or error}); make room, change its permissions "
            "or name another folder"
        ) from error


@dataclass(frozen=True)
class ImageWriter:
    """Writes the files of one image; can be sent to another process.

    Args:
        folder: of all results.
        split: the classes.
        min_score: instances that score less are neither drawn nor written in the forms.
        overlays: whether to draw pictures.
        forms: of FORMS, written beside COCO's.
    """

    folder: Path
    split: ClassSplit
    min_score: float
    overlays: bool = True
    forms: tuple[str, ...] = ()

    def __call__(self, source: Source, image: np.ndarray, raw: dict[str, Any]) -> Record:
        """
        Args:
            source: names the files.
            image: H x W x 3, uint8, RGB.
            raw: of :meth:`~pading.prediction.predictor.Predictor.infer`.
        """
        return self.files(source, finish(raw, self.split, image, source.name))

    def files(self, source: Source, found: Prediction) -> Record:
        """Write the files of a prediction that has its image."""
        assert found.image is not None
        height, width = found.image.shape[:2]
        name = f"{source.name}.png"
        annotation = None
        if found.panoptic is not None:
            annotation = {
                "image_id": source.image_id,
                "file_name": name,
                "segments_info": found.panoptic.segments,
            }
            png = panoptic_png(found.panoptic.ids)
            with _naming(self.folder), replacing(self.folder / "panoptic" / name) as temporary:
                Path(temporary).write_bytes(png)
        if found.semantic is not None:
            self._save("semantic", name, found.semantic)
        if self.overlays:
            pictures = draw_prediction(found.image, found, self.split, self.min_score)
            for task, picture in pictures.items():
                self._save(f"{task}_overlays", name, picture)
        for form in self.forms:
            file, content = FORMS[form](found, source.path, self.min_score)
            path = self.folder / form / file.format(source.name)
            with _naming(self.folder), replacing(path) as temporary:
                if isinstance(content, str):
                    Path(temporary).write_text(content, encoding="utf-8")
                else:
                    Image.fromarray(content).save(temporary)
        return Record(
            {
                "id": source.image_id,
                "file_name": source.path.name,
                "height": height,
                "width": width,
            },
            annotation,
            found.instance and [{"image_id": source.image_id, **d} for d in found.instance],
        )

    def _save(self, folder: str, name: str, pixels: np.ndarray) -> None:
        with _naming(self.folder), replacing(self.folder / folder / name) as temporary:
            Image.fromarray(pixels).save(temporary, compress_level=1)


class Collection:
    """The JSON files: the instances are written as they come, since they can be very many."""

    def __init__(self, folder: Path, split: ClassSplit, instances: IO[str] | None) -> None:
        """
        Args:
            folder: of all results.
            split: the classes.
            instances: where the list of detections goes; None where there are none.
        """
        self._folder = folder
        self._split = split
        self._instances = instances
        self._separator = "["
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._images)

    def add(self, record: Record) -> None:
        """Take an image's record."""
        self._images.append(record.image)
        if record.annotation:
            self._annotations.append(record.annotation)
        for detection in record.detections or ():
            self._extend(f"{self._separator}\n{json.dumps(detection)}")
            self._separator = ","

    def write(self, tasks: tuple[str, ...]) -> None:
        """Finish the list of detections, and write the files of the other tasks."""
        self._extend("]" if self._separator == "," else "[]")
        common = {"images": self._images, "categories": categories(self._split)}
        with _naming(self._folder):
            if not {"panoptic", "semantic"} & {*tasks}:  # whose files list the images
                write_json(self._folder / IMAGES_FILE, {"images": self._images})
            if "panoptic" in tasks:
                content = {**common, "annotations": self._annotations}
                write_json(self._folder / "panoptic.json", content)
            if "semantic" in tasks:
                write_json(self._folder / "semantic.json", common)

    def _extend(self, text: str) -> None:
        if self._instances is not None:
            with _naming(self._folder):
                self._instances.write(text)


def gather_datumaro(folder: Path, split: ClassSplit, names: Sequence[str]) -> None:
    """One export of Datumaro's format from the items of all images.

    Args:
        folder: of all results.
        split: the classes.
        names: of the images.
    """
    labels = [{"name": name, "parent": "", "attributes": []} for name in split.names]
    head = {"infos": {}, "categories": {"label": {"labels": labels, "attributes": []}}}
    path = folder / "datumaro" / "annotations" / "default.json"
    with _naming(folder), replacing(path) as temporary, open(temporary, "w") as file:
        file.write(f'{json.dumps(head)[:-1]}, "items": [')
        for number, name in enumerate(names):
            item = (folder / "datumaro" / "items" / f"{name}.json").read_text(encoding="utf-8")
            file.write(f"{',' if number else ''}\n{item}")
        file.write("]}\n")


def remove_common(folder: Path) -> None:
    """Remove the files that all images have in common, where there are any."""
    with _naming(folder):
        for name in (IMAGES_FILE, *(f"{task}.json" for task in TASKS)):
            (folder / name).unlink(missing_ok=True)


@contextmanager
def collecting(folder: Path, split: ClassSplit, tasks: tuple[str, ...]) -> Iterator[Collection]:
    """Collect records; the files appear when the block succeeds.

    Those of an earlier run are removed first, so that where one stands it speaks of what is there.
    """
    remove_common(folder)
    if "instance" not in tasks:
        collection = Collection(folder, split, None)
        yield collection
        collection.write(tasks)
        return
    with replacing(folder / "instance.json") as name, open(name, "w", encoding="utf-8") as file:
        collection = Collection(folder, split, file)
        yield collection
        collection.write(tasks)


def save_prediction(prediction: Prediction, folder: str | Path, min_score: float) -> None:
    """Write the files of one prediction, as ``pading predict`` writes those of many.

    Args:
        prediction: has its image.
        folder: is made where missing.
        min_score: instances that score less are not drawn.

    Raises:
        InputError: it cannot be written, or the prediction has no image.
    """
    if prediction.image is None or prediction.split is None:
        raise InputError("this prediction has no image; Predictor.predict gives one that has")
    tasks = tuple(task for task in TASKS if getattr(prediction, task) is not None)
    require_label_ids(prediction.split, tasks)
    source = Source(Path(prediction.name), prediction.name, prediction.name)
    folder = Path(folder)
    with collecting(folder, prediction.split, tasks) as collection:
        writer = ImageWriter(folder, prediction.split, min_score)
        collection.add(writer.files(source, prediction))
