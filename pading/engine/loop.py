"""One training step of either stage, and what of it a checkpoint holds."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pading.data.batches import Batches, in_parts
from pading.engine.interruption import Interruption
from pading.errors import InputError
from pading.layers.precision import autocast
from pading.randomness import Stream, seed_everything

logger = logging.getLogger(__name__)


class NonFiniteLossError(InputError, FloatingPointError):
    """A loss or its gradient is not finite: the model has diverged, or an image is to blame."""

    def __init__(self, message: str, agreed: bool = True) -> None:
        super().__init__(message)
        self.agreed = agreed
        """Whether all processes raised it."""


class TrainingLoop(SimpleTrainer):
    """SimpleTrainer that can be resumed exactly, with mixed precision on any device.

    Every iteration seeds the global random generators from the run's seed, its own number and,
    where batches differ, the rank of the process (:mod:`pading.randomness`), and the batches
    are a function of seed and iteration too. So optimizer, scaler, seed and iteration are all there
    is to save: a resumed run draws the dropout, noise and points that it would have drawn.

    A step whose losses or gradients are not finite changes nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        optimizer: torch.optim.Optimizer,
        *,
        interruption: Interruption,
        amp_dtype: torch.dtype | None = None,
        accumulation_steps: int = 1,
        max_skipped_steps: int = 0,
    ) -> None:
        """
        Args:
            model: training data to losses by name.
            batches: the data; its seed is that of the run.
            optimizer: makes the steps.
            interruption: deferred from the first batch on.
            amp_dtype: type of mixed precision; None: float32 throughout.
            accumulation_steps: parts that a batch, a list, is cut into; the losses are means over
                the parts.
            max_skipped_steps: steps of a run that may be left out because of their losses.
        """
        # Detectron2 would begin to iterate here; where to begin is known after resuming.
        super().__init__(model, (), optimizer)
        self.batches = batches
        self.interruption = interruption
        self.accumulation_steps = accumulation_steps
        self.max_skipped_steps = max_skipped_steps
        self.skipped = 0
        self.stopping = False
        """Whether a process was asked to stop; the same in all processes after a step."""
        self._started: Iterator[Any] | None = None
        self._statistics = _Statistics(model)
        self.device = next(model.parameters()).device
        self.amp_dtype = amp_dtype
        # Only float16 has so little range that the loss must be scaled.
        self.grad_scaler = torch.amp.GradScaler(
            self.device.type, enabled=amp_dtype == torch.float16
        )

    def run_step(self) -> None:
        """One iteration: data, losses, backward, step.

        Raises:
            NonFiniteLossError: a loss or the gradient is not finite, and no more steps may be left
                out; weights, statistics and optimizer are as they were before the iteration.
        """
        start = time.perf_counter()
        if self._started is None:
            self._started = self.batches.starting_at(self.iter)
        self._statistics.keep()
        try:
            # Stage 2's images are matched on the way.
            data = next(self._started)
            self.interruption.deferred = True
            data_time = time.perf_counter() - start
            process = 0 if self.batches.shared else comm.get_rank()
            seed_everything(self.batches.seed, Stream.STEP, self.iter, process)
            self.optimizer.zero_grad()
            losses = _means(*self._backward(data))
        except FloatingPointError as error:  # the matching has no loss to make infinite
            self._started = None  # an iterator that has raised goes on no more
            self._refuse([str(error)], comm.get_world_size() == 1)
            return
        self._agree(data_time)
        bad = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
        if not bad:
            try:
                self.grad_scaler.step(self.optimizer)
            except FloatingPointError as error:  # in all processes: they have the same gradient
                bad = [str(error)]
            self.grad_scaler.update()
        if bad:
            self._refuse(bad)
            return
        self._write(losses)

    def _backward(self, data: Any) -> tuple[list[str], Tensor]:
        """Add the gradients of a batch; the names of its losses and the losses (n,)."""
        parts = in_parts(data, self.accumulation_steps)
        names: list[str] = []
        sums = torch.zeros(())
        for number, part in enumerate(parts, 1):
            # Processes exchange gradients once, with the last part.
            alone = number < len(parts) and isinstance(self.model, DistributedDataParallel)
            with self.model.no_sync() if alone else nullcontext():
                with autocast(self.device, self.amp_dtype):
                    losses = self.model(part)
                values = torch.stack(list(losses.values())) / len(parts)
                self.grad_scaler.scale(values.sum()).backward()
            names, sums = list(losses), sums.to(values.device) + values.detach().float()
        return names, sums

    def _agree(self, data_time: float) -> None:
        """Whether any process was asked to stop, and the longest wait for data, in all of them."""
        told = torch.tensor((data_time, self.interruption.received), device=self.device)
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
        longest, stop = told.tolist()
        self.stopping = stop > 0
        get_event_storage().put_scalar("data_time", longest)

    def _write(self, losses: dict[str, float]) -> None:
        storage = get_event_storage()
        storage.put_scalar("total_loss", sum(losses.values()))
        if len(losses) > 1:
            storage.put_scalars(**losses)

    def _refuse(self, reasons: list[str], agreed: bool = True) -> None:
        """Leave a step out, or stop.

        Args:
            agreed: whether all processes do this.
        """
        self._statistics.restore()
        self.optimizer.zero_grad()
        names = self.batches.image_names(self.iter)
        if agreed:
            names = [name for part in comm.all_gather(names) for name in part]
        message = f"iteration {self.iter}: {', '.join(reasons)} with the images {', '.join(names)}"
        if not agreed or self.skipped >= self.max_skipped_steps:
            raise NonFiniteLossError(message, agreed)
        self.skipped += 1
        logger.warning(
            "%s. Step left out, %d of at most %d (SOLVER.MAX_SKIPPED_STEPS)",
            *(message, self.skipped, self.max_skipped_steps),
        )

    def state_dict(self) -> dict[str, Any]:
        """Optimizer, gradient scaler and seed: with the iteration, all that resuming needs."""
        return super().state_dict() | {
            "grad_scaler": self.grad_scaler.state_dict(),
            "seed": self.batches.seed,
            "skipped": self.skipped,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; the batches go on with its seed."""
        super().load_state_dict(state_dict)
        if state_dict["grad_scaler"]:  # else the run had no use for one, and it starts afresh
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
        self.batches.seed = state_dict["seed"]
        self.skipped = state_dict["skipped"]


def _means(names: list[str], values: Tensor) -> dict[str, float]:
    """Losses (n,) averaged over the processes, by name, on all of them."""
    means = values / comm.get_world_size()
    if comm.get_world_size() > 1:
        torch.distributed.all_reduce(means)
    return dict(zip(names, means.tolist(), strict=True))


class _Statistics:
    """Running statistics of batch normalisation, which a forward pass changes at once.

    Those of stage 2's frozen segmenter stay as they are.
    """

    def __init__(self, model: nn.Module) -> None:
        self.now: list[Tensor] = [
            buffer
            for module in model.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
            for buffer in module.buffers(recurse=False)
        ]
        self.before = [buffer.clone() for buffer in self.now]

    @torch.no_grad()
    def keep(self) -> None:
        if self.now:
            torch._foreach_copy_(self.before, self.now)

    @torch.no_grad()
    def restore(self) -> None:
        if self.now:
            torch._foreach_copy_(self.now, self.before)
