"""What differs between Detectron2 v0.6 and its main branch, where pading uses it.

Both call themselves version 0.6, so a difference is found by looking for it, never by version.
Everything else that we use (data loaders, catalogs, hooks, ``launch``, ``create_ddp_model``,
gradient clipping, structures) is called in the form that both accept.
"""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import detectron2
import torch
from detectron2 import engine
from detectron2.utils import comm

# v0.6 inherits state_dict from TrainerBase; main's DefaultTrainer has its own, with the optimizer.
_TRAINER_SAVES_OPTIMIZER = "state_dict" in vars(engine.DefaultTrainer)


class DefaultTrainer(engine.DefaultTrainer):
    """Detectron2's trainer, whose checkpoints hold the state of the optimizer (and AMP scaler).

    v0.6 saves and restores only the iteration and the hooks, so that a resumed run starts with
    fresh optimizer moments; main adds the inner trainer's state under the key ``_trainer``. Here
    both do, and a checkpoint written with one is resumed by the other.
    """

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint; ``_trainer`` holds that of the optimizer."""
        state = super().state_dict()
        if not _TRAINER_SAVES_OPTIMIZER:
            state["_trainer"] = self._trainer.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; KeyError when it holds no ``_trainer``."""
        super().load_state_dict(state_dict)
        if not _TRAINER_SAVES_OPTIMIZER:
            self._trainer.load_state_dict(state_dict["_trainer"])


def create_local_process_group(processes_per_machine: int) -> None:
    """Tell Detectron2 which processes share a machine; all call it, once, after initialisation."""
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(processes_per_machine)
        return
    for first in range(0, comm.get_world_size(), processes_per_machine):
        ranks = range(first, first + processes_per_machine)
        group = torch.distributed.new_group(list(ranks))
        if comm.get_rank() in ranks:
            comm._LOCAL_PROCESS_GROUP = group


def detectron2_version_line() -> str:
    """One line that says which Detectron2 runs: version, branch, compiled or not, and where."""
    branch = "main" if _TRAINER_SAVES_OPTIMIZER else "v0.6"
    compiled = "compiled" if importlib.util.find_spec("detectron2._C") else "pure Python"
    try:
        version = importlib.metadata.version("detectron2")
    except importlib.metadata.PackageNotFoundError:  # used from PYTHONPATH
        version = detectron2.__version__
    return f"detectron2 {version} ({branch}, {compiled}) at {Path(detectron2.__file__).parent}"
