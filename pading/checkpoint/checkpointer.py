"""Checkpoints that load whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from fvcore.common.checkpoint import _IncompatibleKeys

import pading.checkpoint.package_weights  # noqa: F401  (paths know packages then)
from pading.checkpoint.matching import check_fit, is_backbone_alone
from pading.checkpoint.transformers_folder import weights_file
from pading.checkpoint.weights import read_weights
from pading.errors import InputError
from pading.files import replacing

LAST_CHECKPOINT = "last_checkpoint"
"""The file that names the checkpoint to resume from."""


class Checkpointer(DetectionCheckpointer):
    """Detectron2's checkpointer: no unpickling, atomic writing, and nothing that does not fit.

    Files of ours and published ones load by the tables in :mod:`pading.checkpoint.published_names`.
    Tensors of the file that the model lacks, tensors of the model that the file lacks, and other
    shapes are errors that name them. A file may lack what its stage starts afresh: everything but
    the backbone where it holds a backbone alone, and groups of a model's ``initialised_afresh``.
    """

    config: str = ""
    """The run's configuration, as YAML; saved along."""

    def save(self, name: str, *, tag: bool = True, **kwargs: Any) -> None:
        """Write ``name``.pth whole or not at all, then name it in ``last_checkpoint``.

        Args:
            name: without extension.
            tag: whether it is the one to resume from.
            kwargs: what else to save.

        Raises:
            InputError: it cannot be written; the last checkpoint is as it was.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict(), **self.model.described(), **kwargs}
        data |= {"config": self.config} if self.config else {}
        data |= {key: value.state_dict() for key, value in self.checkpointables.items()}
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", path)
        try:
            with _durable(path) as file:
                torch.save(data, file)
            if tag:
                self.tag_last_checkpoint(f"{name}.pth")
        except (OSError, RuntimeError) as error:  # torch's writer raises either
            reason = _reason(error)
            last = os.path.basename(self.get_checkpoint_file()) or "none"
            raise InputError(
                f"{path}: cannot write this checkpoint: {reason}; make room or mend the disk, and "
                f"go on with --resume (last complete checkpoint: {last})"
            ) from error

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As Detectron2's; ``path`` may be a folder of the package transformers, too."""
        return super().load(weights_file(path), *args, **kwargs)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Say which checkpoint is the last, whole or not at all."""
        with _durable(os.path.join(self.save_dir, LAST_CHECKPOINT)) as file:
            file.write(last_filename_basename.encode())

    def _load_file(self, filename: str) -> dict[str, Any]:
        self._path = filename
        checkpoint = read_weights(filename)
        # A backbone alone (ImageNet weights) has names that Detectron2 matches by their endings.
        alone = is_backbone_alone(checkpoint["model"], type(self.model))
        backbone: Any = getattr(self.model, "backbone", None)
        if alone and hasattr(backbone, "own_weights"):
            try:
                found = backbone.own_weights(checkpoint["model"])
            except InputError as error:
                raise InputError(f"{filename}: {error}") from error
            if hasattr(backbone, "check_file"):
                backbone.check_file(filename)
            checkpoint["model"] = {f"backbone.{name}": value for name, value in found.items()}
        checkpoint["matching_heuristics"] = alone
        return checkpoint

    def _load_model(self, checkpoint: dict[str, Any]) -> _IncompatibleKeys:
        try:
            if not checkpoint["matching_heuristics"]:
                checkpoint = {**checkpoint, "model": self.model.adapted(checkpoint["model"])}
                # Before Detectron2 takes out what has another shape.
                check_fit(self.model, checkpoint["model"])
                ours = self.model.published_names.to_ours(checkpoint["model"])
                for warning in self.model.check_checkpoint({**checkpoint, "model": ours}):
                    self.logger.warning("%s: %s", self._path, warning)
            return super()._load_model(checkpoint)
        except InputError as error:
            raise InputError(f"{self._path}: {error}") from error


@contextmanager
def _durable(path: str) -> Iterator[IO[bytes]]:
    """A file that is at ``path`` when the block succeeds, even if the power then fails."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)  # the renaming, too
    finally:
        os.close(folder)


def _reason(error: BaseException) -> str:
    """What the operating system said, where torch's writer reports only that it stumbled."""
    first: BaseException | None = error
    while first is not None:
        if isinstance(first, OSError) and first.strerror:
            return first.strerror
        first = first.__context__
    return str(error).splitlines()[0]
