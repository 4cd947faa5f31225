"""Vectors of new names for a trained checkpoint, and the files that an edited one comes as."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from pading.errors import InputError
from pading.files import replacing, write_json
from pading.models.pading.new_classes import TrainedClasses, require_same_encoder
from pading.vocabulary.class_vectors import ClassVectors, read_class_vectors
from pading.vocabulary.text_encoders import TextEncoder, encode_classes

# Present classes that are encoded again, to find out whether it is the model's encoder.
_PROBES = 5


def vectors_by_encoder(
    trained: TrainedClasses, names: Sequence[str], encoder: TextEncoder, source: str
) -> ClassVectors:
    """Vectors of new names by an encoder, which must be the one that made the model's.

    Raises:
        InputError: an empty or repeated name; another encoder.
    """
    probes = trained.split.names[:: max(1, trained.split.num_classes // _PROBES)]
    made = encode_classes(names, encoder, source)
    require_same_encoder(trained, encode_classes(probes, encoder, source), source)
    return made


def vectors_by_file(trained: TrainedClasses, names: Sequence[str], path: str) -> ClassVectors:
    """Vectors of new names out of a vector file, or a set that ships with pading.

    Classes that the model and the file share must have the same vectors in both.

    Raises:
        InputError: what :func:`read_class_vectors` refuses, a name that is missing, other vectors.
    """
    found = read_class_vectors(path)
    shared = [name for name in trained.split.names if name in found.names]
    if shared:
        vectors = found.select(shared).numpy()
        present = ClassVectors(tuple(shared), vectors, found.source)
        require_same_encoder(trained, present, f"{path} ({found.source})")
    try:
        return ClassVectors(tuple(names), found.select(names).numpy(), found.source)
    except InputError as error:
        raise InputError(f"class vectors {path}: {error}") from error


def save_trained(trained: TrainedClasses, output: str | Path) -> list[str]:
    """Write a checkpoint, and its split (.json) and class vectors (.npz) beside it.

    Returns:
        the KEY VALUE pairs that every tool takes it with.

    Raises:
        InputError: the name does not end in .pth, or a file cannot be written.
    """
    output = Path(output)
    if output.suffix != ".pth":
        raise InputError(f"{output}: a checkpoint is written to a file that ends in .pth")
    split, vectors = output.with_suffix(".json"), output.with_suffix(".npz")
    try:
        with replacing(output) as temporary, open(temporary, "wb") as file:
            torch.save(trained.content(), file)
            file.flush()
            os.fsync(file.fileno())
        write_json(split, trained.split.record(), indent=1)
    except OSError as error:
        raise InputError(f"{output}: cannot write this checkpoint: {error.strerror}") from error
    trained.class_vectors().save(vectors)
    keys = ("MODEL.WEIGHTS", "DATASETS.SPLIT", "MODEL.CLASS_VECTORS")
    return [
        text for pair in zip(keys, map(str, (output, split, vectors)), strict=True) for text in pair
    ]
