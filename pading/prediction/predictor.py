"""A trained model as a function of one image."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from torch.nn import functional as F

from pading.checkpoint.checkpointer import Checkpointer
from pading.config import check_settings, load_config
from pading.data.augmentations import build_augmentations
from pading.data.catalogue import register_datasets
from pading.engine.building import configured_model
from pading.engine.environment import check_device
from pading.engine.setup import check_weights
from pading.errors import InputError
from pading.inference.windows import at_size
from pading.models.base import SegmentationModel
from pading.models.label_vectors import LabelVectors
from pading.models.trained import load_trained, save_trained
from pading.models.vocabulary_edits import add_classes, replace_classes
from pading.prediction.image_inputs import Channels, ImageLike, as_rgb
from pading.prediction.raw_results import raw_results
from pading.prediction.result import Prediction, draw_prediction, finish
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import ClassSplit

# Masks of all queries of 24 million pixels take ten gigabytes: larger results are enlarged.
_MOST_PIXELS = 4_000_000


@dataclass(frozen=True)
class Preparation:
    """From an image to what the model takes; can be sent to another process."""

    augmentations: T.AugmentationList
    image_format: str

    def __call__(self, image: np.ndarray) -> dict[str, Any]:
        """
        Args:
            image: H x W x 3, uint8, RGB.
        """
        height, width = image.shape[:2]
        shrink = min(1.0, (_MOST_PIXELS / (height * width)) ** 0.5)
        ordered = image if self.image_format == "RGB" else image[..., ::-1]
        augmented = T.AugInput(np.ascontiguousarray(ordered))
        self.augmentations(augmented)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(augmented.image.transpose(2, 0, 1))),
            "height": max(1, round(height * shrink)),
            "width": max(1, round(width * shrink)),
        }


def load(
    weights: str | os.PathLike[str], config: str = "", overrides: Sequence[str] = ()
) -> "Predictor":
    """A trained model, ready for images: ``pading.load("model_final.pth").predict("photo.jpg")``.

    Args:
        weights: a checkpoint that training wrote, in which split, settings and vectors are; or any
            other weights, together with ``config``.
        config: name or path of a configuration, for weights that carry none (published ones).
        overrides: configuration keys and values in turn, such as ``["MODEL.DEVICE", "cpu"]``.

    Raises:
        InputError: what of the weights or the configuration cannot work.
    """
    pairs = dict(zip(overrides[::2], overrides[1::2], strict=False))
    check_device(pairs.get("MODEL.DEVICE", "cpu"))
    if not config:
        return Predictor(*load_trained(weights, overrides))
    return Predictor(load_config(config, [*overrides, "MODEL.WEIGHTS", os.fspath(weights)]))


class Predictor:
    """A trained model, ready for images; see :func:`load`.

    The tasks are those of MODEL.INFERENCE; the classes are ``split``'s, that of the data sets that
    the configuration names (their files are not needed).
    """

    def __init__(self, cfg: CfgNode, model: SegmentationModel | None = None) -> None:
        """
        Args:
            cfg: of :func:`pading.load_config`; MODEL.WEIGHTS is a trained model.
            model: that model, where it has been loaded already.

        Raises:
            InputError: what of the configuration, the weights or the device cannot work.
        """
        self.cfg = cfg.clone()
        if model is None:
            check_settings(cfg)
            check_device(cfg.MODEL.DEVICE)
            check_weights(cfg, trained=True)
            register_datasets(cfg)
            model = configured_model(cfg)
            Checkpointer(model).load(cfg.MODEL.WEIGHTS)
        self.model = model.eval()
        self.split: ClassSplit = model.split
        self.tasks = model.inference.tasks
        if not self.tasks:
            raise InputError(
                "nothing to predict: switch on MODEL.INFERENCE.PANOPTIC_ON, INSTANCE_ON or "
                "SEMANTIC_ON"
            )
        self.prepare = Preparation(
            T.AugmentationList(build_augmentations(cfg, is_train=False)), cfg.INPUT.FORMAT
        )
        self._label_vectors: dict[str, LabelVectors] = {}
        self._last_asked: tuple[tuple[Sequence[str], str], Predictor] | None = None

    def __call__(self, image: ImageLike) -> Prediction:
        """The results of one image, without scores; see :meth:`predict`."""
        image, name = as_rgb(image)
        return finish(self.infer(self.prepare(image)), self.split, image, name)

    def predict(
        self,
        images: ImageLike | Sequence[ImageLike],
        channels: Channels = "RGB",
        keep_scores: bool = True,
        classes: Sequence[str] | None = None,
        vectors: str = "",
    ) -> Any:
        """The results of an image, or of each of several. Safe from several threads.

        Args:
            images: an image, or a list of them: a path, a PIL image, an array (H, W), (H, W, 3) or
                (H, W, 4), or a tensor (3, H, W); see :func:`as_rgb`.
            channels: order of an array's or tensor's colours, "RGB" or "BGR" (OpenCV's).
            keep_scores: keep what the results were chosen by, which takes memory.
            classes: labels to choose from instead of the model's own, any texts; the id of each is
                its place in the list. "other" is a label like any other.
            vectors: where those of labels come from that the model does not know; see
                :meth:`with_classes`.

        Returns:
            a :class:`~pading.prediction.result.Prediction`, or a list of them for a list.

        Raises:
            InputError: an image that cannot be read, or whose values have no one meaning; labels
                that :meth:`with_classes` refuses.
        """
        if classes is not None:
            chosen = self._asked_for(classes, vectors)
            return chosen.predict(images, channels, keep_scores)
        if isinstance(images, (list, tuple)):
            return [self.predict(image, channels, keep_scores) for image in images]
        single: Any = images
        image, name = as_rgb(single, channels)
        raw = self.infer(self.prepare(image), keep_scores)
        return finish(raw, self.split, image, name)

    def with_classes(self, classes: ClassVectors | Sequence[str], vectors: str = "") -> "Predictor":
        """A predictor that chooses from other labels, any texts; this one stays as it is.

        Args:
            classes: labels, the id of each being its place in the list; or vectors of all of them,
                by the encoder that made the model's. Classes that the model knows keep what it
                learned of them.
            vectors: where those of other labels come from: a file of vectors (``.npz``), or a text
                encoder ("minilm", "openclip:MODEL:WEIGHTS", "openclip:FOLDER"); by default the
                encoder that the checkpoint records.

        Raises:
            InputError: a label that is empty, there twice or too long for the encoder; an encoder
                that is not installed, or not the one that made the model's vectors; a file that
                lacks a label; a model that knows the classes that it was trained on alone.
        """
        made = classes if isinstance(classes, ClassVectors) else self._vectors_of(classes, vectors)
        return Predictor(self.cfg, replace_classes(self.model, made))

    def _vectors_of(self, labels: Sequence[str], source: str) -> ClassVectors:
        """Vectors of labels; what is loaded and encoded for them is kept."""
        if source not in self._label_vectors:
            self._label_vectors[source] = LabelVectors(self.model, source)
        return self._label_vectors[source](labels)

    def _asked_for(self, classes: Sequence[str], vectors: str) -> "Predictor":
        """The predictor of some labels; the last one is kept for the next image."""
        wanted = (classes if isinstance(classes, str) else tuple(classes), vectors)
        last = self._last_asked  # another thread may put its own there
        if last is None or last[0] != wanted:
            last = wanted, self.with_classes(*wanted)
            self._last_asked = last
        return last[1]

    def encode_pixels(
        self,
        image: ImageLike,
        channels: Channels = "RGB",
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Embeddings of an image's pixels in the space of the class vectors.

        Args:
            image: as in :meth:`predict`; the model looks at it as it does there.
            channels: as in :meth:`predict`.
            size: height and width of the result; by default the image's (above four million pixels
                that at which the model looks), which takes 4 d bytes per pixel.

        Returns:
            (d, H, W) float32, unit vectors.

        Raises:
            InputError: an image that cannot be read; a model that has no such embeddings.
        """
        pixels, _ = as_rgb(image, channels)
        inputs = self.prepare(pixels)
        found = self.model.encode_pixels(inputs["image"].to(self.model.device))
        wanted = size or (inputs["height"], inputs["width"])
        if tuple(found.shape[-2:]) != wanted:
            found = F.normalize(at_size(found[None], wanted)[0], dim=0)
        return found.float().cpu().numpy()

    def add_classes(
        self,
        names: ClassVectors | Sequence[str] = (),
        stuff: Sequence[str] = (),
        encoder: str = "",
    ) -> "Predictor":
        """A predictor that knows more classes, by their names; this one stays as it is.

        Args:
            names: new things; or vectors of all new classes, by the encoder that made the model's.
            stuff: new stuff; of vectors, those that are stuff.
            encoder: makes vectors of names; by default the one that the checkpoint records.

        Raises:
            InputError: what :func:`pading.models.vocabulary_edits.add_classes` refuses, another
                encoder, or one that is not installed.
        """
        if not isinstance(names, ClassVectors):
            names = self._vectors_of([*names, *stuff], encoder)
        return Predictor(self.cfg, add_classes(self.model, names, stuff))

    def save(self, path: str) -> list[str]:
        """Write the model as a checkpoint, with its split and class vectors beside it.

        Returns:
            the KEY VALUE pairs that every command takes it with.

        Raises:
            InputError: what :func:`pading.models.trained.save_trained` refuses.
        """
        return save_trained(self.cfg, self.model, path)

    def export(self, path: str | os.PathLike[str], **options: Any) -> Any:
        """Write the model for other runtimes: ONNX, or a .pt2 of PyTorch's.

        Args:
            path: ends in .onnx or .pt2.
            options: of :func:`pading.export.export_model`, as are what it gives and raises.
        """
        import pading  # whose name it is: the exporter's room is behind this one

        return pading.export_model(self.cfg, self.model, path, **options)

    @torch.no_grad()
    def infer(self, inputs: dict[str, Any], keep_scores: bool = False) -> dict[str, Any]:
        """The model's results for what :class:`Preparation` gives, small, as NumPy arrays.

        Args:
            inputs: of one image.
            keep_scores: also give what the results were chosen by, under "scores".
        """
        [output] = self.model([inputs])
        return raw_results(output, keep_scores)

    def draw(
        self,
        image: ImageLike,
        prediction: Prediction,
        min_score: float = 0.3,
        channels: Channels = "RGB",
    ) -> dict[str, np.ndarray]:
        """Pictures by task of an image as :meth:`predict` takes it; see :func:`draw_prediction`."""
        pixels, _ = as_rgb(image, channels)
        return draw_prediction(pixels, prediction, self.split, min_score)
