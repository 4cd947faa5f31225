"""What a model found in a photograph, kept so that the seen-unseen dial can be turned."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pading.inference.calibration import with_seen_bias
from pading.prediction import Predictor
from pading.prediction.raw_results import raw_results
from pading.prediction.result import Prediction, finish
from pading.structures import QueryPredictions
from pading.vocabulary.splits import ClassSplit


@dataclass(frozen=True)
class PixelMargins:
    """Of every pixel the best seen and the best unseen class, as contiguous indices.

    A constant off all seen scores changes no order within the seen and within the unseen classes.

    Args:
        seen, unseen: H x W.
        margin: H x W float32, by how much the seen one scores more; infinite where one is missing.
    """

    seen: np.ndarray
    unseen: np.ndarray
    margin: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, split: ClassSplit) -> "PixelMargins":
        """
        Args:
            scores: (K, H, W), in the order of the split.
            split: the classes.
        """
        if not (split.seen and split.unseen):
            best = scores.argmax(0).astype(np.int16)
            sign = np.inf if split.seen else -np.inf
            return cls(best, best, np.full(best.shape, sign, np.float32))
        seen, unseen = scores[list(split.seen)], scores[list(split.unseen)]
        return cls(
            np.array(split.seen, np.int16)[seen.argmax(0)],
            np.array(split.unseen, np.int16)[unseen.argmax(0)],
            seen.max(0) - unseen.max(0),
        )

    def at(self, bias: float) -> np.ndarray:
        """H x W contiguous indices, with ``bias`` off the seen classes."""
        return np.where(self.margin >= bias, self.seen, self.unseen)


class Look:
    """Results that are chosen anew at each turn of the dial; the network ran once.

    They are those of a model with that much more of MODEL.INFERENCE.SEEN_BIAS. Of queries the masks
    are kept, which are small. The scores of all classes at all pixels are a hundred megabytes for
    a photograph; of them the margins are enough.
    """

    def __init__(self, predictor: Predictor, image: np.ndarray, name: str) -> None:
        """
        Args:
            predictor: looks at the image.
            image: H x W x 3 uint8, RGB.
            name: of the image, without extension.
        """
        self._model, self._split = predictor.model, predictor.split
        self._image, self._name = image, name
        self._looked: Any = None
        self._margins: PixelMargins | None = None
        with torch.no_grad():
            looked = self._model.look([predictor.prepare(image)])
            [output] = self._model.conclude(looked)
        self.prediction = self._finished(raw_results(output))
        if isinstance(looked[0], QueryPredictions):
            self._looked = dataclasses.replace(looked[0], auxiliary=[]), looked[1]
        elif "sem_seg" in output:
            scores = output["sem_seg"].float().cpu().numpy()
            self._margins = PixelMargins.of(scores, self._split)
        else:  # classes in turn, too many to keep their scores
            self._looked = looked

    def at(self, bias: float) -> Prediction:
        """The results with ``bias`` (in [-1, 1]) off the scores of the seen classes."""
        if not bias:
            return self.prediction
        if self._margins is not None:
            return self._finished({"semantic": self._margins.at(bias)})
        turned = with_seen_bias(self._model, self._model.inference.seen_bias + bias)
        with torch.no_grad():
            [output] = turned.conclude(self._looked)
        return self._finished(raw_results(output))

    def _finished(self, raw: dict[str, Any]) -> Prediction:
        return finish(raw, self._split, self._image, self._name)
