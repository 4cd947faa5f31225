"""The trainer of every system: Detectron2's, with our data, optimizers and checkpoints."""

import logging
import weakref
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.engine import HookBase, TrainerBase, create_ddp_model, hooks
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch.utils.data import DataLoader

from pading.compat import DefaultTrainer
from pading.data.batches import Batches
from pading.data.mappers import SegmentationMapper
from pading.engine.building import configured_model, scored_vocabulary
from pading.engine.hooks import Checkpoints, Evaluation, TimeEstimate
from pading.engine.interruption import Interruption
from pading.engine.loop import NonFiniteLossError, TrainingLoop
from pading.engine.optimizers import JointOptimizer, build_optimizer
from pading.engine.run_checkpoints import RunCheckpointer
from pading.engine.schedules import build_schedule
from pading.layers.precision import amp_dtype
from pading.models.base import SegmentationModel

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """Trains any model; which one is a matter of MODEL.META_ARCHITECTURE."""

    _trainer: TrainingLoop

    def __init__(
        self, cfg: CfgNode, run: str | None = None, interruption: Interruption | None = None
    ) -> None:
        """
        Args:
            cfg: the configuration.
            run: identifies the run in its checkpoints (:mod:`pading.engine.record`).
            interruption: what may stop the run early.
        """
        # Detectron2's __init__ fixes inner trainer and checkpointer: the same steps with ours.
        TrainerBase.__init__(self)
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):
            setup_logger()
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        batches = self.build_batches(cfg, model)
        kept = model.kept_configuration(cfg)
        on_cpu: dict[str, Any] = {"device_ids": None} if cfg.MODEL.DEVICE == "cpu" else {}
        model = create_ddp_model(model, broadcast_buffers=False, **on_cpu)
        self.interruption = interruption or Interruption()
        dtype = amp_dtype(cfg)
        if cfg.SOLVER.AMP.ENABLED:
            logger.info("Mixed precision (SOLVER.AMP.DTYPE): %s", dtype or "none on this device")
        self._trainer = TrainingLoop(
            model,
            batches,
            optimizer,
            interruption=self.interruption,
            amp_dtype=dtype,
            accumulation_steps=cfg.SOLVER.ACCUMULATION_STEPS,
            max_skipped_steps=cfg.SOLVER.MAX_SKIPPED_STEPS,
        )
        self.scheduler = build_schedule(cfg, optimizer)
        self.checkpointer = RunCheckpointer(model, cfg.OUTPUT_DIR, run, trainer=weakref.proxy(self))
        self.checkpointer.config = kept.dump()
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    @property
    def stopping(self) -> bool:
        """Whether the run was asked to stop after this step."""
        return self._trainer.stopping

    def build_hooks(self) -> list[HookBase]:
        """Detectron2's hooks, with our checkpoints and evaluation; PreciseBN has no place here."""
        solver, test = self.cfg.SOLVER, self.cfg.TEST
        checkpointer = self.checkpointer
        found = [
            hooks.IterationTimer(),
            hooks.LRScheduler(),
            # Before the evaluation, whose failure must not cost the steps before it.
            Checkpoints(checkpointer, solver.CHECKPOINT_PERIOD, solver.CHECKPOINTS_KEPT),
            Evaluation(
                test.EVAL_PERIOD, self._test, self.interruption, checkpointer, test.BEST_METRIC
            ),
        ]
        if comm.is_main_process():
            found.append(TimeEstimate())
            # In the end, so that results of the evaluation are written.
            found.append(hooks.PeriodicWriter(self.build_writers(), period=20))
        return found

    def _test(self) -> dict[str, Any]:
        self._last_eval_results = self.test(self.cfg, self.model)
        return self._last_eval_results

    def resume_or_load(self, resume: bool = True) -> None:
        """Resume from the newest usable checkpoint in OUTPUT_DIR, else load MODEL.WEIGHTS."""
        loaded = self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if resume and self.checkpointer.has_checkpoint():
            self.start_iter = loaded["iteration"] + 1

    def run_step(self) -> None:
        """One iteration.

        Raises:
            NonFiniteLossError: a loss or the gradient is not finite. What repeats the iteration has
                been saved.
        """
        try:
            super().run_step()
        except NonFiniteLossError as error:
            name = f"nonfinite_{self.iter:07d}"
            self.iter -= 1  # the state before this iteration
            # Another process than the main one may be alone in knowing.
            self.checkpointer.save_to_disk |= not error.agreed
            self.checkpointer.save(name, tag=False, iteration=self.iter)
            raise NonFiniteLossError(
                f"{error}. {name}.pth in {self.cfg.OUTPUT_DIR} holds the state before: to repeat "
                "the iteration, write this name into last_checkpoint in a copy of the folder and "
                "--resume. Look at the images, lower SOLVER.BASE_LR, clip gradients "
                "(SOLVER.CLIP_GRADIENTS), or allow steps to be left out (SOLVER.MAX_SKIPPED_STEPS)"
            ) from error

    @classmethod
    def test(cls, cfg: CfgNode, model: SegmentationModel, evaluators: Any = None) -> dict[str, Any]:
        """Scores of the model on DATASETS.TEST; with DATASETS.OWN_LABELS, of each its own classes.

        Args:
            cfg: the configuration.
            model: as it is, or for several processes.
            evaluators: for each data set; None: :meth:`build_evaluator`'s.
        """
        if not cfg.DATASETS.OWN_LABELS:
            return super().test(cfg, model, evaluators)
        alone: Any = getattr(model, "module", model)
        results = {}
        for number, name in enumerate(cfg.DATASETS.TEST):
            one = cfg.clone()
            one.defrost()
            one.DATASETS.TEST = (name,)
            other = alone.with_vocabulary(*scored_vocabulary(cfg, name))
            own = None if evaluators is None else [evaluators[number]]
            results[name] = super().test(one, other, own)
        return results if len(results) > 1 else next(iter(results.values()), {})

    @classmethod
    def build_model(cls, cfg: CfgNode) -> SegmentationModel:
        return configured_model(cfg)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: SegmentationModel) -> JointOptimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_batches(cls, cfg: CfgNode, model: SegmentationModel) -> Batches:
        """The model's training data, seeded by SEED (negative: by chance)."""
        seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
        return model.training_source(cfg, seed)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        return build_detection_test_loader(
            cfg, dataset_name, mapper=SegmentationMapper(cfg, is_train=False)
        )
