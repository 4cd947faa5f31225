"""Vectors of any labels in the space of a trained model's own."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from pading.errors import InputError
from pading.models.base import SegmentationModel
from pading.models.vocabulary_edits import class_vectors_of, vectors_by_encoder, vectors_by_file
from pading.vocabulary.class_vectors import ClassVectors, shipped_class_vectors
from pading.vocabulary.prompts import PromptSet
from pading.vocabulary.text_encoders import TextEncoder
from pading.vocabulary.text_sources import parse_source, text_encoder


class LabelVectors:
    """Labels to vectors, each encoded once; a text encoder is loaded when a new label needs it."""

    def __init__(self, model: SegmentationModel, source: str = "") -> None:
        """
        Args:
            model: learned from class vectors; classes that it knows keep theirs.
            source: of the vectors of other labels: a file of them (``.npz``) or a set that ships
                with pading; a text encoder, as :func:`text_encoder` takes it; "": the encoder that
                made the model's, with its prompts.

        Raises:
            InputError: the model has no class vectors.
        """
        self._model, self._source = model, source
        own = class_vectors_of(model, model.vectors_source)
        self._known = dict(zip(own.names, own.vectors, strict=True))

    def __call__(self, labels: Sequence[str]) -> ClassVectors:
        """
        Args:
            labels: different texts.

        Raises:
            InputError: no label, one that is empty, there twice or too long for the encoder; a
                file that lacks it; an encoder or a file that did not make the model's vectors.
        """
        check_labels(labels)
        new = [label for label in labels if label not in self._known]
        if new:
            made = self._made(new)
            self._known |= dict(zip(made.names, made.vectors, strict=True))
        vectors = np.stack([self._known[label] for label in labels])
        return ClassVectors(tuple(labels), vectors, self._model.vectors_source)

    def _made(self, labels: Sequence[str]) -> ClassVectors:
        if Path(self._source).suffix == ".npz" or self._source in shipped_class_vectors():
            return vectors_by_file(self._model, labels, self._source)
        encoder, described, prompts = self._encoder
        return vectors_by_encoder(self._model, labels, encoder, described, prompts)

    @cached_property
    def _encoder(self) -> tuple[TextEncoder, str, PromptSet | None]:
        """The encoder, what it is, and the prompts that labels are put into."""
        recorded = self._model.vectors_source
        if self._source:
            prompts = recorded.partition("; ")[2]
            return *text_encoder(self._source), PromptSet.parse(prompts) if prompts else None
        if not recorded:
            raise InputError(
                "the checkpoint does not say which text encoder made its class vectors; name it, "
                "or give a file of vectors of the labels"
            )
        name, chosen = parse_source(recorded)
        return *text_encoder(name), chosen


def check_labels(labels: Sequence[str]) -> None:
    """Refuse what is no list of different labels.

    Raises:
        InputError: names the label.
    """
    if isinstance(labels, str):
        raise InputError(f"labels are a list, not one text; give [{labels!r}]")
    if not labels:
        raise InputError("no labels; give at least one")
    for label, count in Counter(labels).items():
        if not label.strip():
            raise InputError("a label is empty; give the text that it stands for")
        if count > 1:
            raise InputError(f"the label {label!r} is there twice; give every label once")
