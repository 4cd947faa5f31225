"""What the recordings of the published code hold, and the model each describes, in our terms."""

import json
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch import Tensor, nn

from pading.config import PUBLISHED_KEYS, load_config
from pading.data.datasets import register
from pading.data.semantics import ClassVectors
from pading.data.spec import DatasetSpec
from pading.data.splits import ClassInfo, ClassSplit

ROOT = Path(__file__).resolve().parents[2]
MASK2FORMER = ("mask2former_resnet", "mask2former_swin")
PADING = "pading_stage2"

# Published names of stage 2 that differ from ours, by what they begin with.
_RENAMED = {
    "new_fc.": "classifier.",
    "fc_projection.": "semantic_projection.",
    "dict_feature.": "generator.primitives.",
    "projection_related.encoder.": "disentangler.related.",
    "projection_unrelated.encoder.": "disentangler.unrelated.",
    "decoder.decoder.": "disentangler.decoder.",
    "relation.": "disentangler.relation.",
}
_BACKBONES = {"D2SwinTransformer": "SwinTransformer"}


class Recording:
    """One file of ``golden/model``; ``golden/README.md`` describes its arrays."""

    def __init__(self, path: Path, folder: Path) -> None:
        """Read ``path``; what the model has to find on disk is written to ``folder``."""
        with np.load(path) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}
        self.name = path.stem
        self._folder = folder

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def numbers(self, name: str) -> np.ndarray:
        """The array as it was stored."""
        return self._arrays[name]

    def tensor(self, name: str) -> Tensor:
        """The array; floating-point ones as float32."""
        value = torch.from_numpy(self._arrays[name])
        return value.float() if value.is_floating_point() else value

    def masks(self, name: str, width: int) -> np.ndarray:
        """Packed masks (N, height, width), bool."""
        return np.unpackbits(self._arrays[name], axis=-1)[..., :width].astype(bool)

    def parsed(self, name: str):
        """What is stored as JSON."""
        return json.loads(str(self._arrays[name]))

    @property
    def is_stage_two(self) -> bool:
        return "unseen_vectors" in self

    @cached_property
    def split(self) -> ClassSplit:
        """The recorded classes, under names of our own."""
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
        """Our configuration for the recorded published one."""
        overrides = ["MODEL.SEGMENTER.CLASSES", "all", "DATASETS.TRAIN", f"('{self.name}',)"]
        overrides += ["DATASETS.TEST", f"('{self.name}',)"]
        for task in ("PANOPTIC", "INSTANCE", "SEMANTIC"):
            overrides += [f"MODEL.INFERENCE.{task}_ON", "True"]
        options = self.parsed("opts")
        for published, value in zip(options[::2], options[1::2], strict=True):
            key = PUBLISHED_KEYS.get(published, (published,))[0]
            if published == "MODEL.MASK_FORMER.DEC_LAYERS":
                value -= 1  # it counts predictions
            if published == "MODEL.BACKBONE.NAME":
                value = _BACKBONES[value]
            if key:
                overrides += [key, str(value)]
        stage = "pretrain"
        if self.is_stage_two:
            stage = "PADing"
            overrides += ["MODEL.CLASS_VECTORS", str(self._write_class_vectors())]
            overrides += ["MODEL.ZERO_SHOT.STRUCTURE_WEIGHT", "1e-3"]  # of the instance task
            overrides += ["MODEL.ZERO_SHOT.UNSEEN_WEIGHT", "2.0"]
            overrides += ["MODEL.ZERO_SHOT.NUM_UNSEEN_CLASSES", str(self.split.num_unseen)]
        return load_config(str(ROOT / "configs" / "panoptic" / f"{stage}.yaml"), overrides)

    def _write_class_vectors(self) -> Path:
        vectors = np.concatenate((self.numbers("seen_vectors"), self.numbers("unseen_vectors")))
        path = self._folder / f"{self.name}.npz"
        ClassVectors(self.split.names, vectors.astype(np.float32), "the recording").save(path)
        return path

    @cached_property
    def model(self) -> nn.Module:
        """Our model with the recorded weights, every one of which must find its place."""
        split_file = self._folder / f"{self.name}.json"
        classes = [vars(info) for info in self.split.classes]
        split_file.write_text(json.dumps({"name": self.name, "classes": classes}))
        images = str(self._folder)
        register(
            DatasetSpec(self.name, "panoptic", str(split_file), images, "none.json", images),
        )
        model = build_model(self.config)
        weights = self.weights()
        if self.is_stage_two:
            weights["class_vectors"] = model.class_vectors
        model.load_state_dict(weights)
        return model.eval()

    def weights(self) -> dict[str, Tensor]:
        """The recorded state dict under our names."""
        found = {}
        for entry in self._arrays:
            name = entry.removeprefix("weights/")
            # The criterion's class weights are no weights of ours.
            if name == entry or name.startswith("criterion."):
                continue
            ours = next(
                (o + name[len(p) :] for p, o in _RENAMED.items() if name.startswith(p)), name
            )
            found[ours] = self.tensor(entry)
        return found

    @property
    def batch(self) -> list[dict]:
        """The recorded image with its ground truth, as a mapper would give it."""
        image = self.tensor("image_rgb").permute(2, 0, 1)
        height, width = self.numbers("output_size").tolist()
        instances = Instances(tuple(image.shape[1:]))
        instances.gt_classes = self.tensor("target_labels")
        instances.gt_masks = torch.from_numpy(self.masks("target_masks", image.shape[2]))
        return [{"image": image, "height": height, "width": width, "instances": instances}]
