"""What happens between the steps: checkpoints, stopping when asked to, evaluation, the best."""

import logging
import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import torch
from detectron2.engine import HookBase, hooks
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from pading.engine.interruption import Interrupted, Interruption
from pading.engine.run_checkpoints import RunCheckpointer
from pading.errors import InputError
from pading.files import field, read_json, write_json

logger = logging.getLogger(__name__)


class Checkpoints(HookBase):
    """Writes a checkpoint now and then, in the end, and when the run was asked to stop.

    Detectron2's own hook neither prunes what an interrupted run wrote before, nor stops.
    """

    def __init__(self, checkpointer: RunCheckpointer, period: int, keep: int) -> None:
        """
        Args:
            checkpointer: writes in the main process.
            period: in iterations; 0: only in the end.
            keep: checkpoints before the last that stay; 0: all.
        """
        self.checkpointer, self.period, self.keep = checkpointer, period, keep

    def after_step(self) -> None:
        iteration = self.trainer.iter
        last = iteration + 1 >= self.trainer.max_iter
        stop = self.trainer.stopping
        if last:  # first: a run that is killed between the two has no step left to write it after
            self.checkpointer.save("model_final", iteration=iteration)
        if self.period > 0 and (iteration + 1) % self.period == 0 or stop and not last:
            self.checkpointer.save(f"model_{iteration:07d}", iteration=iteration)
        self.checkpointer.prune(self.keep)
        if stop:
            comm.synchronize()  # the launcher ends everybody once one process has stopped
            raise Interrupted


class TimeEstimate(HookBase):
    """Says once how long training will take, when a few steps have shown it."""

    FIRST, LAST = 5, 20
    """Steps from which on, and up to which, the time is taken; the very first are slower."""

    def after_step(self) -> None:
        done = self.trainer.iter + 1 - self.trainer.start_iter
        left = self.trainer.max_iter - self.trainer.iter - 1
        if done == self.FIRST:
            self._start = time.perf_counter()
        elif done == self.LAST and left:
            each = (time.perf_counter() - self._start) / (self.LAST - self.FIRST)
            end = datetime.now() + timedelta(seconds=each * left)
            logger.info(
                "%d steps are left, which will take about %s at %.2f s each, until %s",
                left,
                duration(each * left),
                each,
                end.strftime("%H:%M"),
            )


def duration(seconds: float) -> str:
    """For people, as in "40 s", "12 min" and "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


class Evaluation(hooks.EvalHook):
    """Detectron2's periodic evaluation, which a resumed run makes up for, and the best model.

    A checkpoint is written before the evaluation at its iteration. What was evaluated, and the best
    score, are in ``best.json``, so that a run that was cut short in an evaluation goes back to it.
    """

    def __init__(
        self,
        period: int,
        evaluate: Callable[[], dict[str, Any]],
        interruption: Interruption,
        checkpointer: RunCheckpointer,
        metric: str = "",
    ) -> None:
        """
        Args:
            period: in iterations; 0: only in the end.
            evaluate: gives nested results (main process).
            interruption: may cut it short.
            checkpointer: writes ``model_best.pth``.
            metric: what the best model has most of, such as "panoptic_seg/PQ"; "": none is kept.
        """
        self.results: dict[str, Any] = {}

        def kept() -> dict[str, Any]:
            self.results = evaluate()
            return self.results

        super().__init__(period, kept)
        self.interruption, self.checkpointer, self.metric = interruption, checkpointer, metric
        self.path = Path(checkpointer.save_dir) / "best.json"

    def before_train(self) -> None:
        done = self.trainer.start_iter
        due = self._period > 0 and done > 0 and done % self._period == 0
        if due and done < self.trainer.max_iter and self._remembered()["evaluated"] < done:
            logger.info("The evaluation after %d iterations was cut short: made up for", done)
            self._do_eval()

    def after_train(self) -> None:
        # Detectron2 would evaluate after a failure in the last iteration, too.
        if self.trainer.iter >= self.trainer.max_iter:
            super().after_train()

    def _do_eval(self) -> None:
        with self.interruption.immediate():
            share_statistics(self.trainer.model)
            super()._do_eval()
        if self.results and comm.is_main_process():
            self._remember()

    def _remembered(self) -> dict[str, Any]:
        """How many iterations were done at the last evaluation, and the best score so far."""
        nothing = {"run": self.checkpointer.run or "", "evaluated": 0, "metric": self.metric}
        found = read_json(self.path) if self.path.exists() else nothing
        same = all(
            field(found, key, str, str(self.path)) == nothing[key] for key in ("run", "metric")
        )
        return found if same else nothing

    def _remember(self) -> None:
        remembered = self._remembered()
        if self.metric:
            found = flatten_results_dict(self.results)
            if self.metric not in found:
                raise InputError(
                    f"TEST.BEST_METRIC {self.metric} is not among the results; take one of "
                    f"{', '.join(sorted(found))}"
                )
            score = float(found[self.metric])
            if math.isfinite(score) and score > remembered.get("score", -math.inf):
                logger.info("%s is %.4f, the best so far", self.metric, score)
                self.checkpointer.save("model_best", tag=False, iteration=self.trainer.iter)
                remembered["score"] = score
        evaluated = min(self.trainer.storage.iter + 1, self.trainer.max_iter)
        write_json(self.path, remembered | {"evaluated": evaluated}, indent=1)


def share_statistics(model: torch.nn.Module) -> None:
    """Give all processes the main process's running statistics, those that checkpoints hold."""
    if comm.get_world_size() == 1:
        return
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            for buffer in module.buffers(recurse=False):
                torch.distributed.broadcast(buffer, 0)
