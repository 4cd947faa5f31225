"""One training step of either stage, and what of it a checkpoint holds."""

import time
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from torch import nn

from pading.data.randomness import Stream, seed_everything


class Batches(Protocol):
    """Training data that can begin at any iteration."""

    seed: int

    def starting_at(self, iteration: int) -> Iterator[Any]:
        """What the model takes in this iteration and in those that follow."""


class TrainingLoop(SimpleTrainer):
    """SimpleTrainer that can be resumed exactly, with mixed precision on any device.

    Every iteration seeds the global random generators from the run's seed, its own number and the
    rank of the process (:mod:`pading.data.randomness`), and the batches are a function of seed and
    iteration too. So optimizer, scaler, seed and iteration are all there is to save: a resumed run
    draws the dropout, noise and points that it would have drawn.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        optimizer: torch.optim.Optimizer,
        amp_dtype: torch.dtype | None = None,
    ) -> None:
        """
        Args:
            model: training data to losses by name.
            batches: the data; its seed is that of the run.
            optimizer: makes the steps.
            amp_dtype: type of mixed precision; None: float32 throughout.
        """
        # Detectron2 would begin to iterate here; where to begin is known after resuming.
        super().__init__(model, (), optimizer)
        self.batches = batches
        self._started: Iterator[Any] | None = None
        self.device_type = next(model.parameters()).device.type
        self.amp_dtype = amp_dtype
        # Only float16 has so little range that the loss must be scaled.
        self.grad_scaler = torch.amp.GradScaler(
            self.device_type, enabled=amp_dtype == torch.float16
        )

    def run_step(self) -> None:
        """One iteration: data, losses, backward, step."""
        start = time.perf_counter()
        if self._started is None:
            self._started = self.batches.starting_at(self.iter)
        data = next(self._started)
        data_time = time.perf_counter() - start
        seed_everything(self.batches.seed, Stream.STEP, self.iter, comm.get_rank())
        with torch.autocast(self.device_type, self.amp_dtype, enabled=self.amp_dtype is not None):
            losses = self.model(data)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad()
        self.grad_scaler.scale(total).backward()
        self._write_metrics(losses, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Optimizer, gradient scaler and seed: with the iteration, all that resuming needs."""
        mine = {"grad_scaler": self.grad_scaler.state_dict(), "seed": self.batches.seed}
        return super().state_dict() | mine

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; the batches go on with its seed."""
        super().load_state_dict(state_dict)
        self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
        self.batches.seed = state_dict["seed"]
