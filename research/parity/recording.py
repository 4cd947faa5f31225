"""What a recording of the published code holds, and the model that it describes, in our terms."""

import json
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.structures import Instances
from torch import Tensor

from pading.checkpoint.checkpointer import Checkpointer
from pading.checkpoint.weights import write_weights
from pading.config import PUBLISHED_KEYS, load_config
from pading.errors import InputError
from pading.files import write_json
from pading.models.registry import build_model
from pading.vocabulary.splits import ClassInfo, ClassSplit

# What the recorded options stand on: the published configuration of COCO with R-50...
_BASE: dict[str, Any] = {
    "MODEL": {
        "BACKBONE": {"NAME": "build_resnet_backbone", "FREEZE_AT": 0},
        "PIXEL_MEAN": [123.675, 116.280, 103.530],
        "PIXEL_STD": [58.395, 57.120, 57.375],
        "RESNETS": {
            "DEPTH": 50,
            "STRIDE_IN_1X1": False,
            "OUT_FEATURES": ["res2", "res3", "res4", "res5"],
        },
        "SEGMENTER": {"CLASSES": "all"},
    }
}
# ...of panoptic segmentation for Mask2Former...
_MASK2FORMER = {
    "MODEL.INFERENCE.PANOPTIC_ON": True,
    "MODEL.INFERENCE.INSTANCE_ON": True,
    "MODEL.INFERENCE.SEMANTIC_ON": True,
}
# ...and of the 48/17 instance task for PADing.
_PADING = {
    "MODEL.META_ARCHITECTURE": "PADing",
    "MODEL.INFERENCE.PANOPTIC_ON": False,
    "MODEL.INFERENCE.INSTANCE_ON": True,
    "MODEL.INFERENCE.SEMANTIC_ON": False,
    "MODEL.ZERO_SHOT.STRUCTURE_WEIGHT": 0.001,
    "MODEL.ZERO_SHOT.UNSEEN_WEIGHT": 2.0,
    # The recorded loss depends on this slip of the published code; everything else is ours.
    "MODEL.ZERO_SHOT.GENERATOR_CLASS_LOGITS": "first_156",
}
_BACKBONES = {"D2SwinTransformer": "SwinTransformer"}


class Recording:
    """One ``.npz`` file of weights, an image, and what the published code made of them.

    Arrays, by name (N: segments, I: instances, Q: queries, K: classes, C: width; see also
    :mod:`research.parity.mask2former` and :mod:`research.parity.pading`):

        weights/<name>    the state dict under published names
        opts              JSON: published configuration keys and values in turn
        image_rgb         (H, W, 3) uint8
        output_size       (2,) height and width of processed outputs
        thing_ids         contiguous ids of things
        target_masks      (N, H, W / 8) bits; target_labels: (N,)
        matched_query, matched_label, seen_vectors, unseen_vectors, noise/0, noise/1: stage 2
    """

    def __init__(self, path: str | Path, folder: str | Path) -> None:
        """
        Args:
            path: the recording.
            folder: where to write what the model has to find on disk.

        Raises:
            InputError: no such file, or none of arrays alone.
        """
        self.path, self.name = Path(path), Path(path).stem
        self._folder = Path(folder)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                self._arrays = {name: arrays[name] for name in arrays.files}
        except OSError as error:
            raise InputError(f"{path}: cannot read this recording: {error}") from error
        except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: no recording, which is an .npz file: {error}") from error

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of everything in the file."""
        return tuple(self._arrays)

    def numbers(self, name: str) -> np.ndarray:
        """The array as it was stored.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self._arrays:
            raise InputError(f"{self.path}: the array {name!r} is missing; record it again")
        return self._arrays[name]

    def tensor(self, name: str) -> Tensor:
        """The array; floating-point ones as float32."""
        value = torch.from_numpy(self.numbers(name))
        return value.float() if value.is_floating_point() else value

    def masks(self, name: str, width: int) -> np.ndarray:
        """Packed masks (N, height, width), bool."""
        return np.unpackbits(self.numbers(name), axis=-1)[..., :width].astype(bool)

    def parsed(self, name: str) -> Any:
        """What is stored as JSON."""
        return json.loads(str(self.numbers(name)))

    @property
    def is_stage_two(self) -> bool:
        """Whether PADing made it, rather than Mask2Former."""
        return "unseen_vectors" in self

    @cached_property
    def split(self) -> ClassSplit:
        """The recorded classes, the unseen ones last, under names of our own."""
        num_classes = self.numbers("pred_logits").shape[-1] - 1
        num_unseen = len(self.numbers("unseen_vectors")) if self.is_stage_two else 0
        things = set(self.numbers("thing_ids").tolist())
        return ClassSplit(
            self.name,
            tuple(
                ClassInfo(i + 1, f"class {i}", i in things, i >= num_classes - num_unseen)
                for i in range(num_classes)
            ),
        )

    @cached_property
    def config(self) -> CfgNode:
        """Our configuration for the recorded published one.

        Raises:
            InputError: a recorded key that neither we nor the published code have.
        """
        base = self._folder / f"{self.name}.yaml"
        write_json(base, _BASE)  # JSON is YAML
        settings = dict(_PADING if self.is_stage_two else _MASK2FORMER)
        options = self.parsed("opts")
        for published, value in zip(options[::2], options[1::2], strict=True):
            key = PUBLISHED_KEYS.get(published, (published,))[0]
            if published == "MODEL.MASK_FORMER.DEC_LAYERS":
                value -= 1  # it counts predictions
            if published == "MODEL.BACKBONE.NAME":
                value = _BACKBONES.get(value, value)
            if key:
                settings[key] = value
        settings["MODEL.DEVICE"] = "cpu"
        return load_config(str(base), [str(part) for pair in settings.items() for part in pair])

    @property
    def class_vectors(self) -> Tensor | None:
        """(K, d) of the recorded classes; None for a recording of stage 1."""
        if not self.is_stage_two:
            return None
        return torch.cat((self.tensor("seen_vectors"), self.tensor("unseen_vectors")))

    @cached_property
    def model(self) -> Any:
        """Our Mask2Former or PADing with the recorded weights, loaded as a published checkpoint is.

        Raises:
            InputError: the weights do not fit the recorded options.
        """
        model = build_model(self.config, self.split, self.class_vectors)
        checkpoint = self._folder / f"{self.name}.pth"
        write_weights(checkpoint, self.weights())
        Checkpointer(model).load(str(checkpoint))
        return model.eval()

    def weights(self) -> dict[str, Tensor]:
        """The recorded state dict, under the published names."""
        return {
            entry.removeprefix("weights/"): self.tensor(entry)
            for entry in self._arrays
            if entry.startswith("weights/")
        }

    @property
    def batch(self) -> list[dict]:
        """The recorded image with its ground truth, as a mapper would give it."""
        image = self.tensor("image_rgb").permute(2, 0, 1)
        height, width = self.numbers("output_size").tolist()
        instances = Instances(tuple(image.shape[1:]))
        instances.gt_classes = self.tensor("target_labels")
        instances.gt_masks = torch.from_numpy(self.masks("target_masks", image.shape[2]))
        return [{"image": image, "height": height, "width": width, "instances": instances}]
