"""An exported model as a function of one image; see :func:`load`."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pading.errors import InputError
from pading.prediction.image_inputs import Channels, ImageLike, as_rgb
from pading.prediction.result import Prediction, finish
from pading.runtime.bilinear import resized
from pading.runtime.description import Description, read
from pading.runtime.pixel_results import pixel_results
from pading.runtime.preparation import Pixels, Sizes, padded_to
from pading.runtime.query_results import query_results
from pading.vocabulary.splits import ClassInfo, ClassSplit


def load(path: str | os.PathLike[str], threads: int = 0) -> "OnnxPredictor":
    """An exported model, ready for images: ``load("model.onnx").predict("photo.jpg")``.

    Args:
        path: what ``pading export`` wrote; its ``.data`` file, where it has one, lies beside it.
        threads: of the processor; 0: as onnxruntime sees fit.

    Raises:
        InputError: no such file, no ONNX, or not one that pading wrote.
    """
    import onnxruntime  # which alone of what this needs may be missing

    path = os.fspath(path)
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such file; give what `pading export` wrote")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:
        raise InputError(
            f"{path}: onnxruntime cannot load it ({error}); export it again"
        ) from error
    return OnnxPredictor(session, read(session.get_modelmeta().custom_metadata_map, path))


class OnnxPredictor:
    """An exported model, ready for images; as :class:`pading.Predictor` is, without PyTorch."""

    def __init__(self, session: Any, described: Description) -> None:
        """
        Args:
            session: onnxruntime's.
            described: what its file says.
        """
        self.session = session
        self.described = described
        self.prepare = Pixels(described.pixels)
        self._inputs = [item.name for item in session.get_inputs()]
        self._outputs = [item.name for item in session.get_outputs()]
        self._classes = {name: described.tensors[name] for name in described.class_inputs}

    @property
    def split(self) -> ClassSplit:
        """The classes."""
        return self.described.split

    @property
    def tasks(self) -> tuple[str, ...]:
        """Those of "panoptic", "instance" and "semantic" that it gives."""
        return self.described.tasks

    def __call__(self, image: ImageLike) -> Prediction:
        """The results of one image, without scores; see :meth:`predict`."""
        return self.predict(image, keep_scores=False)

    def predict(
        self,
        images: ImageLike | Sequence[ImageLike],
        channels: Channels = "RGB",
        keep_scores: bool = True,
    ) -> Any:
        """The results of an image, or of each of several; see :meth:`pading.Predictor.predict`.

        Raises:
            InputError: an image that cannot be read, or whose values have no one meaning.
        """
        if isinstance(images, (list, tuple)):
            return [self.predict(image, channels, keep_scores) for image in images]
        single: Any = images
        image, name = as_rgb(single, channels)
        return finish(self.infer(self.prepare(image), keep_scores), self.split, image, name)

    def add_classes(
        self,
        names: Sequence[str],
        rows: Mapping[str, np.ndarray],
        stuff: Sequence[str] = (),
        ids: Sequence[int] = (),
    ) -> "OnnxPredictor":
        """A predictor that knows more classes; this one stays as it is, the graph is shared.

        Args:
            names: of the new classes.
            rows: for each class input (``described.class_inputs``) an array with a row for each of
                them: for ``class_vectors`` the vectors of the names.
            stuff: those of the names that are stuff.
            ids: category ids; by default those after the largest there is.

        Raises:
            InputError: rows that do not fit, a name that is there already, or a model that takes
                no classes.
        """
        first = max(info.id for info in self.split.classes) + 1
        numbers = ids or range(first, first + len(names))
        added = tuple(
            ClassInfo(number, name, name not in stuff, True)
            for number, name in zip(numbers, names, strict=True)
        )
        return OnnxPredictor(self.session, self.described.with_classes(added, rows))

    def network(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Raw outputs by name.

        Args:
            images: (B, 3, H, W) float32, normalised, of sizes that the graph takes.
        """
        given = {**self._classes, self._inputs[0]: np.ascontiguousarray(images)}
        return dict(zip(self._outputs, self.session.run(self._outputs, given), strict=True))

    def infer(self, inputs: Mapping[str, Any], keep_scores: bool = False) -> dict[str, Any]:
        """The results for what ``prepare`` gives, small, as NumPy arrays.

        Args:
            inputs: of one image.
            keep_scores: also give what the results were chosen by, under "scores".
        """
        image = inputs["image"]
        pixels = self.described.pixels
        own, wanted = image.shape[-2:], (inputs["height"], inputs["width"])
        if self.described.reading["outputs"] == "queries":
            images = padded_to(image, pixels["divisor"], pixels["size"])[None]
            outputs = {name: value[0] for name, value in self.network(images).items()}
            sizes = Sizes(images.shape[-2:], own, wanted)
            return query_results(outputs, sizes, self.described, keep_scores)
        images = padded_to(image, pixels["divisibility"])[None]
        sizes = Sizes(images.shape[-2:], own, wanted)
        return pixel_results(self._scores, images, sizes, self.described, keep_scores)

    def _scores(self, image: np.ndarray) -> np.ndarray:
        """(1, 3, h, w) of any size to class scores (K, ., .), cropped where it had to be padded."""
        height, width = image.shape[-2:]
        pixels = self.described.pixels
        padded = padded_to(image, pixels["divisor"], pixels["size"])
        [scores] = self.network(padded)["scores"]
        if padded.shape == image.shape:
            return scores
        return resized(scores, padded.shape[-2:])[:, :height, :width]
