"""The checkpoints in a run's folder: which to resume from, and which to remove."""

import os
import re
import zipfile
from pathlib import Path
from typing import Any

from torch import nn

from pading.checkpoint.checkpointer import Checkpointer
from pading.errors import InputError

_NUMBERED = re.compile(r"model_(\d{7,})\.pth")


class UnusableCheckpointError(InputError):
    """A checkpoint that is not whole, or another run's."""


class RunCheckpointer(Checkpointer):
    """Saves and resumes one run, which every checkpoint names: the folder may hold another's."""

    def __init__(
        self, model: nn.Module, save_dir: str, run: str | None, **checkpointables: Any
    ) -> None:
        """
        Args:
            model: whose weights.
            save_dir: the run's folder.
            run: its identifier (:mod:`pading.engine.record`); None: unknown, and so not checked.
            checkpointables: what else to save and load, by name.
        """
        super().__init__(model, save_dir, **checkpointables)
        self.run = run

    def save(self, name: str, *, tag: bool = True, **kwargs: Any) -> None:
        super().save(name, tag=tag, run=self.run, **kwargs)

    def prune(self, keep: int) -> None:
        """Remove all numbered checkpoints but the newest.

        Args:
            keep: how many stay beside the one that ``last_checkpoint`` names; 0: all.
        """
        if not self.save_to_disk or not keep:
            return
        last = os.path.basename(self.get_checkpoint_file())
        for path in self._numbered()[keep:]:
            if path.name != last:
                path.unlink(missing_ok=True)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Resume from the run's newest checkpoint that is whole; ``path`` where there is none.

        A newer one that is not is named in a warning.

        Raises:
            InputError: there are checkpoints, but none that can be used.
        """
        if not (resume and self.has_checkpoint()):
            return self.load(path, checkpointables=[])
        refused = []
        for candidate in self._candidates():
            try:
                self._check(candidate)
            except UnusableCheckpointError as error:
                self.logger.warning("Cannot resume from this checkpoint: %s", error)
                refused.append(str(error))
            else:
                return self.load(candidate)
        raise InputError(
            f"{self.save_dir}: none of its checkpoints can be resumed from ({'; '.join(refused)}); "
            f"start anew without --resume, or name another OUTPUT_DIR"
        )

    def _check(self, path: str) -> None:
        """Refuse what is missing, cut off, changed on the disk, or another run's."""
        try:
            with zipfile.ZipFile(path) as archive:
                changed = archive.testzip()
        except (OSError, zipfile.BadZipFile) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnusableCheckpointError(f"{path}: {reason}") from error
        if changed is not None:
            raise UnusableCheckpointError(f"{path}: {changed} does not fit its checksum")
        try:
            content = self._load_file(path)
        except InputError as error:
            raise UnusableCheckpointError(str(error)) from error
        missing = self.checkpointables.keys() - content.keys()
        if missing:
            raise UnusableCheckpointError(f"{path}: it holds weights, but no state of training")
        run = content.get("run")
        if None not in (run, self.run) and run != self.run:
            raise UnusableCheckpointError(f"{path}: it is of another run ({run}, not {self.run})")

    def _candidates(self) -> list[str]:
        """The one that ``last_checkpoint`` names, then the others, newest first."""
        last = self.get_checkpoint_file()
        others = [*self._numbered(), Path(self.save_dir) / "model_final.pth"]
        named = [last] if os.path.basename(last) else []
        return named + [str(path) for path in others if path.exists() and str(path) != last]

    def _numbered(self) -> list[Path]:
        """Checkpoints of iterations, newest first."""
        found = [p for p in Path(self.save_dir).iterdir() if _NUMBERED.fullmatch(p.name)]
        return sorted(found, key=lambda p: int(p.stem.removeprefix("model_")), reverse=True)
