"""Optimizers of both stages, from the SOLVER section of a configuration."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import nn

from pading.errors import InputError
from pading.models.base import SegmentationModel
from pading.models.parameter_groups import ParameterGroups


class JointOptimizer(torch.optim.Optimizer):
    """Several optimizers on disjoint parameters, used as one by trainer, scheduler and AMP scaler.

    Gradients may be clipped by their norm over all parameters together, as in Mask2Former.
    """

    def __init__(
        self,
        optimizers: Mapping[str, torch.optim.Optimizer],
        clip_norm: float = math.inf,
        norm_type: float = 2.0,
    ) -> None:
        """
        Args:
            optimizers: by the name under which their state is saved.
            clip_norm: largest norm of the whole gradient.
            norm_type: of that norm.
        """
        self.optimizers = dict(optimizers)
        self.clip_norm, self.norm_type = clip_norm, norm_type
        # The group dictionaries are shared, so that a scheduler's change reaches the optimizers.
        super().__init__(self._groups(), defaults={})

    def _groups(self) -> list[dict[str, Any]]:
        return [group for o in self.optimizers.values() for group in o.param_groups]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Clip, then let every optimizer make its step; there is nothing to re-evaluate.

        Raises:
            FloatingPointError: the gradient is not finite, as it can be where the losses are;
                nothing has changed.
        """
        if closure is not None:
            raise ValueError("a joint step takes no closure")
        parameters = [p for group in self.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.clip_norm, self.norm_type)
        if not norm.isfinite():
            raise FloatingPointError(f"the gradient's norm is {norm.item()}")
        for optimizer in self.optimizers.values():
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """States by name."""
        return {name: o.state_dict() for name, o in self.optimizers.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            InputError: the state is that of other optimizers.
        """
        if set(state_dict) != set(self.optimizers):
            raise InputError(
                f"the checkpoint holds the state of {sorted(state_dict)}, but this stage trains "
                f"{sorted(self.optimizers)}; resume a stage from its own output folder"
            )
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state_dict[name])
        self.param_groups = self._groups()


def build_optimizer(cfg: CfgNode, model: SegmentationModel) -> JointOptimizer:
    """The optimizers of what the model trains, as SOLVER and the model's groups say."""
    optimizers = {
        name: _build(cfg, trained) for name, trained in model.parameter_groups(cfg).items()
    }
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] *= batch_factor(cfg)
    clipping = cfg.SOLVER.CLIP_GRADIENTS
    if not clipping.ENABLED:
        return JointOptimizer(optimizers)
    return JointOptimizer(optimizers, clipping.CLIP_VALUE, clipping.NORM_TYPE)


def batch_factor(cfg: CfgNode) -> float:
    """What rates are multiplied by: SOLVER.REFERENCE_BATCH images are what they are meant for."""
    reference = cfg.SOLVER.REFERENCE_BATCH
    return cfg.SOLVER.IMS_PER_BATCH / reference if reference else 1.0


def _build(cfg: CfgNode, trained: ParameterGroups) -> torch.optim.Optimizer:
    kind, groups = trained.optimizer or cfg.SOLVER.OPTIMIZER, trained.groups
    if kind == "ADAM":
        return torch.optim.Adam(groups, fused=True)
    if kind == "ADAMW":
        return torch.optim.AdamW(groups, fused=True)
    return torch.optim.SGD(
        groups, lr=0.0, momentum=cfg.SOLVER.MOMENTUM, nesterov=cfg.SOLVER.NESTEROV, fused=True
    )
