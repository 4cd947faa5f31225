"""What an exported model says of itself: the metadata of its file."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pading.errors import InputError
from pading.vocabulary.splits import ClassInfo, ClassSplit

KEY = "pading"
"""Metadata under this name is JSON; under ``pading.NAME`` a tensor in base64."""
FORMAT = 1


@dataclass(frozen=True)
class Description:
    """Everything that is needed beside the graph.

    Args:
        split: the classes.
        pixels: ``format`` ("RGB" or "BGR"), ``mean``, ``std``, ``min_size``, ``max_size``,
            ``divisor``, and ``size`` ([height, width]; None: any).
        inference: the fields of :class:`~pading.inference.settings.InferenceSettings`.
        reading: see :meth:`pading.models.exportable.Exportable.reading`.
        class_inputs: names of the inputs of which a class is a row.
        tensors: float32, by name: those inputs, and the class vectors.
        about: everything, as the file has it.
    """

    split: ClassSplit
    pixels: Mapping[str, Any]
    inference: Mapping[str, Any]
    reading: Mapping[str, Any]
    class_inputs: tuple[str, ...]
    tensors: Mapping[str, np.ndarray]
    about: Mapping[str, Any]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Those of "panoptic", "instance" and "semantic" that results are made of."""
        return tuple(self.inference["tasks"])

    def with_classes(
        self, classes: tuple[ClassInfo, ...], rows: Mapping[str, np.ndarray]
    ) -> "Description":
        """The same with classes more, behind those that there are.

        Args:
            classes: the new ones.
            rows: for each class input one row for each of them.

        Raises:
            InputError: the model takes no classes, or the rows do not fit.
        """
        if not self.class_inputs:
            raise InputError(
                "this exported model knows the classes that it was trained on, and takes no others"
            )
        tensors = dict(self.tensors)
        for name in self.class_inputs:
            there = tensors[name]
            shape = (len(classes), *there.shape[1:])
            if name not in rows or np.shape(rows[name]) != shape:
                found = np.shape(rows[name]) if name in rows else "none"
                raise InputError(f"rows of {name}: wanted {shape} numbers, found {found}")
            # Where there is a row more than classes, it is that of no-object, and stays the last.
            place = self.split.num_classes
            new = np.asarray(rows[name], dtype=np.float32)
            tensors[name] = np.concatenate((there[:place], new, there[place:]))
        split = ClassSplit(self.split.name, (*self.split.classes, *classes))
        reading = dict(self.reading)
        if "rows" in reading:
            reading["rows"] = list(range(split.num_classes + 1))
        if reading.get("candidates") is not None:
            reading["candidates"] = list(split.unseen)
        return replace(self, split=split, tensors=tensors, reading=reading)


def written(about: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """A description as a file's metadata.

    Args:
        about: as JSON has it, without shapes of tensors.
        tensors: by name.
    """
    shapes = {name: list(value.shape) for name, value in tensors.items()}
    entries = {KEY: json.dumps({**about, "format": FORMAT, "tensors": shapes})}
    for name, value in tensors.items():
        numbers = np.ascontiguousarray(value, dtype="<f4").tobytes()
        entries[f"{KEY}.{name}"] = base64.b64encode(numbers).decode("ascii")
    return entries


def read(entries: Mapping[str, str], where: str) -> Description:
    """The description in a file's metadata.

    Raises:
        InputError: the file was not written by ``pading export``, or by a later version of it.
    """
    if KEY not in entries:
        raise InputError(
            f"{where}: it says nothing of classes and settings, so it is no model that "
            "`pading export` wrote; export the checkpoint again"
        )
    about = json.loads(entries[KEY])
    if about["format"] > FORMAT:
        raise InputError(f"{where}: written by a later version of pading; update this one")
    if about.get("gives") == "results":
        raise InputError(
            f"{where}: this graph gives results itself; run it with onnxruntime (docs/export.md), "
            "or export without --results"
        )
    tensors = {}
    for name, shape in about["tensors"].items():
        numbers = np.frombuffer(base64.b64decode(entries[f"{KEY}.{name}"]), dtype="<f4")
        tensors[name] = numbers.reshape(shape)
    return Description(
        ClassSplit.from_record(about["split"], where),
        about["pixels"],
        about["inference"],
        about["reading"],
        tuple(about["class_inputs"]),
        tensors,
        about,
    )
