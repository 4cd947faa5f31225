"""Optimizers of both stages, from the SOLVER section of a configuration."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import nn

from pading.errors import InputError
from pading.models.pading.stage_two import PADing

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
# Parameters that stand for places or things rather than mix channels: they decay as embeddings do.
_EMBEDDING_NAMES = ("relative_position_bias_table", "level_embed")


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


def build_optimizer(cfg: CfgNode, model: nn.Module) -> JointOptimizer:
    """The optimizers of the model's stage.

    Stage 1 trains everything with SOLVER.OPTIMIZER. Stage 2 trains the classifier with it, and
    everything else that has a gradient with Adam at SOLVER.GENERATOR_LR.

    Raises:
        InputError: an unknown optimizer or kind of clipping.
    """
    if isinstance(model, PADing):
        classifier = list(model.classifier.parameters())
        mine = {id(p) for p in classifier}
        others = [p for p in model.parameters() if p.requires_grad and id(p) not in mine]
        optimizers = {
            "classifier": _build(cfg, [{"params": classifier}]),
            "generator": torch.optim.Adam(others, lr=cfg.SOLVER.GENERATOR_LR, fused=True),
        }
    else:
        optimizers = {"segmenter": _build(cfg, segmenter_groups(cfg, model))}
    clipping = cfg.SOLVER.CLIP_GRADIENTS
    if not clipping.ENABLED:
        return JointOptimizer(optimizers)
    if clipping.CLIP_TYPE != "full_model":
        raise InputError(
            f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {clipping.CLIP_TYPE!r}; "
            'the norm of the whole gradient is clipped: use "full_model"'
        )
    return JointOptimizer(optimizers, clipping.CLIP_VALUE, clipping.NORM_TYPE)


def _build(cfg: CfgNode, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
    solver = cfg.SOLVER
    common = {"lr": solver.BASE_LR, "weight_decay": solver.WEIGHT_DECAY}
    if solver.OPTIMIZER == "ADAMW":
        return torch.optim.AdamW(groups, fused=True, **common)
    if solver.OPTIMIZER == "SGD":
        return torch.optim.SGD(
            groups, momentum=solver.MOMENTUM, nesterov=solver.NESTEROV, fused=True, **common
        )
    raise InputError(f'SOLVER.OPTIMIZER is {solver.OPTIMIZER!r}; use "ADAMW" or "SGD"')


def segmenter_groups(cfg: CfgNode, model: nn.Module) -> list[dict[str, Any]]:
    """Parameters that share learning rate and weight decay, one group each.

    The backbone learns at BASE_LR * BACKBONE_MULTIPLIER; norms and embeddings decay apart.
    """
    solver = cfg.SOLVER
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            in_backbone = path.split(".")[0] == "backbone"
            rate = solver.BASE_LR * (solver.BACKBONE_MULTIPLIER if in_backbone else 1.0)
            decay = solver.WEIGHT_DECAY
            if isinstance(module, _NORMS):
                decay = solver.WEIGHT_DECAY_NORM
            elif isinstance(module, nn.Embedding) or name in _EMBEDDING_NAMES:
                decay = solver.WEIGHT_DECAY_EMBED
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
