"""The trainer of both stages: Detectron2's, with our data, optimizers and checkpoints."""

import logging
import weakref
from typing import cast

import torch
from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.engine import TrainerBase, create_ddp_model
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch import nn
from torch.utils.data import DataLoader

from pading.compat import DefaultTrainer
from pading.data.batches import build_training_batches
from pading.data.mappers import SegmentationMapper
from pading.engine.checkpoint import Checkpointer
from pading.engine.embeddings import StoredEmbeddings, uses_stored_embeddings
from pading.engine.loop import Batches, TrainingLoop
from pading.engine.optimizers import JointOptimizer, build_optimizer
from pading.errors import InputError
from pading.modeling.pading import PADing


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
        batches = self.build_batches(cfg, model)
        model = create_ddp_model(model, broadcast_buffers=False)
        self._trainer = TrainingLoop(model, batches, optimizer, amp_dtype(cfg))
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
    def build_batches(cls, cfg: CfgNode, model: nn.Module) -> Batches:
        """Training data of the configured stage, seeded by SEED (negative: by chance)."""
        seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
        if uses_stored_embeddings(cfg):
            return StoredEmbeddings(cfg, cast(PADing, model), seed)
        return build_training_batches(cfg, seed)

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
