"""The trainer of both stages: Detectron2's, with our data, optimizers, checkpoints and AMP."""

import logging
import time
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader, build_detection_train_loader
from detectron2.engine import SimpleTrainer, TrainerBase, create_ddp_model
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch import nn
from torch.utils.data import DataLoader

from pading.compat import DefaultTrainer
from pading.data.mappers import SegmentationMapper
from pading.engine.checkpoint import Checkpointer
from pading.engine.embeddings import StoredEmbeddings, uses_stored_embeddings
from pading.engine.optimizers import JointOptimizer, build_optimizer
from pading.errors import InputError


class TrainingLoop(SimpleTrainer):
    """SimpleTrainer with mixed precision on any device (Detectron2's AMPTrainer demands CUDA)."""

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[Any],
        optimizer: torch.optim.Optimizer,
        amp_dtype: torch.dtype | None = None,
    ) -> None:
        """
        Args:
            amp_dtype: type of mixed precision; None: float32 throughout.
        """
        super().__init__(model, data_loader, optimizer)
        self.device_type = next(model.parameters()).device.type
        self.amp_dtype = amp_dtype
        # Only float16 has so little range that the loss must be scaled.
        self.grad_scaler = torch.amp.GradScaler(
            self.device_type, enabled=amp_dtype == torch.float16
        )

    def run_step(self) -> None:
        """One iteration: data, losses, backward, step."""
        start = time.perf_counter()
        data = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        with torch.autocast(self.device_type, self.amp_dtype, enabled=self.amp_dtype is not None):
            losses = self.model(data)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad()
        self.grad_scaler.scale(total).backward()
        self._write_metrics(losses, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Optimizer and gradient scaler."""
        return super().state_dict() | {"grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        super().load_state_dict(state_dict)
        self.grad_scaler.load_state_dict(state_dict["grad_scaler"])


class Trainer(DefaultTrainer):
    """Both stages; which one is a matter of MODEL.META_ARCHITECTURE."""

    def __init__(self, cfg: CfgNode) -> None:
        # Detectron2's __init__ fixes inner trainer and checkpointer: the same steps with ours.
        TrainerBase.__init__(self)
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):
            setup_logger()
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        if uses_stored_embeddings(cfg):
            data_loader: Any = StoredEmbeddings(cfg, model)
        else:
            data_loader = self.build_train_loader(cfg)
        model = create_ddp_model(model, broadcast_buffers=False)
        self._trainer = TrainingLoop(model, data_loader, optimizer, amp_dtype(cfg))
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = Checkpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> JointOptimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> DataLoader:
        return build_detection_train_loader(cfg, mapper=SegmentationMapper(cfg, is_train=True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        return build_detection_test_loader(
            cfg, dataset_name, mapper=SegmentationMapper(cfg, is_train=False)
        )


def amp_dtype(cfg: CfgNode) -> torch.dtype | None:
    """The type of mixed precision that SOLVER.AMP asks for; None for float32.

    Raises:
        InputError: an unknown type.
    """
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    types = {"float16": torch.float16, "bfloat16": torch.bfloat16}
    if cfg.SOLVER.AMP.DTYPE not in types:
        raise InputError(
            f"SOLVER.AMP.DTYPE is {cfg.SOLVER.AMP.DTYPE!r}; use one of {', '.join(types)}"
        )
    return types[cfg.SOLVER.AMP.DTYPE]
