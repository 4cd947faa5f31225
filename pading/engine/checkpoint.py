"""Checkpoints that load whole or not at all."""

import os
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from fvcore.common.checkpoint import _IncompatibleKeys

from pading.data.files import replacing
from pading.engine.weights import read_weights
from pading.errors import InputError

_CLASS_HEADS = ("sem_seg_head.predictor.class_embed.", "classifier.")
_CONVERTER = "tools/preprocess_pretrained_weight.py"


class Checkpointer(DetectionCheckpointer):
    """Detectron2's checkpointer: no unpickling, atomic writing, and nothing that does not fit.

    Tensors of the file that the model lacks, tensors of the model that the file lacks, and other
    shapes are errors that name them. A file may lack what its stage starts afresh: everything but
    the backbone where it holds a backbone alone, and a model's ``initialised_afresh``.
    """

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``name``.pth whole or not at all, even if the process is killed."""
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict(), **kwargs}
        data |= {key: value.state_dict() for key, value in self.checkpointables.items()}
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", path)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            torch.save(data, file)
            file.flush()
            os.fsync(file.fileno())
        self.tag_last_checkpoint(f"{name}.pth")

    def _load_file(self, filename: str) -> dict[str, Any]:
        self._path = filename
        checkpoint = read_weights(filename)
        # A backbone alone (ImageNet weights) has names that Detectron2 matches by their endings.
        backbone_only = not any(n.startswith("sem_seg_head.") for n in checkpoint["model"])
        checkpoint["matching_heuristics"] = backbone_only
        return checkpoint

    def _load_model(self, checkpoint: dict[str, Any]) -> _IncompatibleKeys:
        afresh: tuple[str, ...] = getattr(self.model, "initialised_afresh", ())
        if checkpoint["matching_heuristics"]:
            afresh = ("sem_seg_head.", *afresh)
        else:
            self._refuse_what_does_not_fit(checkpoint["model"], afresh)
        found = super()._load_model(checkpoint)
        missing = [name for name in found.missing_keys if not name.startswith(afresh)]
        if missing or found.incorrect_shapes:
            raise InputError(_report(self._path, missing, [], found.incorrect_shapes))
        started = sorted({name.split(".")[0] for name in found.missing_keys})
        if started:
            self.logger.info("%s starts afresh: %s", ", ".join(started), self._path)
        found.missing_keys.clear()  # reported above, in one line
        return found

    def _refuse_what_does_not_fit(
        self, weights: dict[str, torch.Tensor], afresh: tuple[str, ...]
    ) -> None:
        """Name everything that does not fit before anything is loaded, and what would help."""
        model = self.model.state_dict()
        other = [
            (name, tuple(weights[name].shape), tuple(tensor.shape))
            for name, tensor in model.items()
            if name in weights and weights[name].shape != tensor.shape
        ]
        for name, theirs, ours in other:
            if name.startswith(_CLASS_HEADS):
                raise InputError(
                    f"{self._path}: its class head {name} has {theirs[0]} outputs, but this model "
                    f"has {ours[0]} (classes and no-object); {_CONVERTER} grows the head of a "
                    "stage-1 checkpoint from the seen classes to all classes of the split. If it "
                    "is converted already, it belongs to another split or stage "
                    "(MODEL.SEGMENTER.CLASSES)"
                )
            if name == "class_vectors":
                raise InputError(
                    f"{self._path}: it was trained with class vectors of shape {theirs}, but "
                    f"MODEL.CLASS_VECTORS gives {ours}; use the vectors that it was trained with"
                )
        missing = [n for n in model.keys() - weights.keys() if not n.startswith(afresh)]
        unknown = list(weights.keys() - model.keys())
        if missing or unknown or other:
            raise InputError(_report(self._path, missing, unknown, other))


def _report(path: str, missing: list, unexpected: list, shapes: list) -> str:
    lines = [f"{path}: these weights do not fit the model:"]
    lines += [f"  missing from the file: {name}" for name in sorted(missing)]
    lines += [f"  unknown to the model: {name}" for name in sorted(unexpected)]
    lines += [f"  {n}: shape {a} in the file, {b} in the model" for n, a, b in shapes]
    lines.append("Use the configuration that the weights were trained with.")
    return "\n".join(lines)
