"""Checkpoints that load whole or not at all."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from fvcore.common.checkpoint import _IncompatibleKeys

from pading.checkpoint.matching import check_fit, is_backbone_alone
from pading.checkpoint.published_names import our_names
from pading.checkpoint.weights import read_weights
from pading.errors import InputError
from pading.files import replacing
from pading.vocabulary.splits import ClassSplit

_logger = logging.getLogger(__name__)

LAST_CHECKPOINT = "last_checkpoint"
"""The file that names the checkpoint to resume from."""

_CLASS_HEAD = "sem_seg_head.predictor.class_embed."


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
        data = {"model": self.model.state_dict(), **self.described(), **kwargs}
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

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Say which checkpoint is the last, whole or not at all."""
        with _durable(os.path.join(self.save_dir, LAST_CHECKPOINT)) as file:
            file.write(last_filename_basename.encode())

    def described(self) -> dict[str, Any]:
        """What else it takes to use the weights: ``split`` (see ClassSplit.record) and ``config``.

        The configuration is YAML, as text; it is there where ``self.config`` was set.
        """
        split: ClassSplit | None = getattr(self.model, "split", None)
        found: dict[str, Any] = {"split": split.record()} if split is not None else {}
        return found | ({"config": self.config} if self.config else {})

    def _load_file(self, filename: str) -> dict[str, Any]:
        self._path = filename
        checkpoint = read_weights(filename)
        # A backbone alone (ImageNet weights) has names that Detectron2 matches by their endings.
        checkpoint["matching_heuristics"] = is_backbone_alone(checkpoint["model"])
        return checkpoint

    def _load_model(self, checkpoint: dict[str, Any]) -> _IncompatibleKeys:
        try:
            if not checkpoint["matching_heuristics"]:
                # Before Detectron2 takes out what has another shape.
                check_fit(self.model, checkpoint["model"])
                weights = our_names(checkpoint["model"])
                self._warn_of_no_object(weights)
                self._warn_of_vectors(weights)
                if hasattr(self.model, "split"):
                    check_classes(checkpoint, self.model.split)
            return super()._load_model(checkpoint)
        except InputError as error:
            raise InputError(f"{self._path}: {error}") from error

    def _warn_of_no_object(self, weights: dict[str, torch.Tensor]) -> None:
        """The published converter leaves this row zero, and spoils that of an unseen class."""
        rows = [weights.get(f"{_CLASS_HEAD}{name}") for name in ("weight", "bias")]
        if all(row is not None and not row[-1].any() for row in rows):
            self.logger.warning(
                "%s: the class head's row of no-object is zero, as the published converter leaves "
                "it (it copies that row to the first unseen class); convert the stage-1 checkpoint "
                "with tools/preprocess_pretrained_weight.py instead",
                self._path,
            )

    def _warn_of_vectors(self, weights: dict[str, torch.Tensor]) -> None:
        """Those of a checkpoint are what it was trained with, so they count."""
        theirs, ours = weights.get("class_vectors"), getattr(self.model, "class_vectors", None)
        if theirs is not None and ours is not None and not theirs.equal(ours.to(theirs)):
            self.logger.warning(
                "%s: its class vectors are others than those of MODEL.CLASS_VECTORS, which do not "
                "count: the weights were trained with theirs",
                self._path,
            )


def check_classes(checkpoint: Mapping[str, Any], split: ClassSplit) -> None:
    """Refuse a checkpoint whose class head has a class of a split at another row.

    Classes of other names at the same rows may have been renamed: a warning says so.

    Args:
        checkpoint: of :func:`read_weights`; without a ``split`` nothing is known of its classes.
        split: what the rows, as many, are taken for.

    Raises:
        InputError: names a class that is elsewhere.
    """
    record = checkpoint.get("split")
    head = our_names(checkpoint["model"]).get(f"{_CLASS_HEAD}bias")
    if not isinstance(record, dict) or head is None:
        return
    trained_on = ClassSplit.from_record(record, "the checkpoint's class split")
    theirs, ours = (_names_of_rows(s, len(head) - 1) for s in (trained_on, split))
    rows = {name: row for row, name in enumerate(theirs)}
    for row, name in enumerate(ours):
        if rows.get(name, row) != row:
            raise InputError(
                f"it was trained on the class split {trained_on.name!r}, in which {name!r} is at "
                f"row {rows[name]} of the class head, not at row {row} as in {split.name!r}; give "
                "the split that it was trained on"
            )
    others = [pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]]
    if others:
        _logger.warning(
            "the class split %r of these weights calls %d classes differently; %r is %r here",
            *(trained_on.name, len(others), *others[0]),
        )


def _names_of_rows(split: ClassSplit, rows: int) -> list[str]:
    """The classes of a class head of so many rows; none where it is no head of this split."""
    known = {split.num_classes: range(split.num_classes), split.num_seen: split.seen}
    return [split.names[i] for i in known.get(rows, ())]


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
