"""What is trained at which rate and with which decay."""

from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from torch import nn

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
# Parameters that stand for places or things rather than mix channels: they decay as embeddings do.
_EMBEDDING_NAMES = ("relative_position_bias_table", "level_embed")


@dataclass(frozen=True)
class ParameterGroups:
    """Parameters that one optimizer trains.

    Args:
        groups: "params", "lr" and "weight_decay" of each, as torch's optimizers take them.
        optimizer: "ADAMW", "SGD" or "ADAM" where the method fixes it; None: SOLVER.OPTIMIZER.
    """

    groups: list[dict[str, Any]]
    optimizer: str | None = None


def groups_by_kind(model: nn.Module, cfg: CfgNode) -> list[dict[str, Any]]:
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


def groups_at_two_rates(
    model: nn.Module, cfg: CfgNode, slow: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Two groups of one decay: what learns at BASE_LR * BACKBONE_MULTIPLIER, and all else.

    Args:
        model: whose parameters.
        cfg: SOLVER says rates and decay.
        slow: what the names of the first group begin with.
    """
    solver = cfg.SOLVER
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    parts = [
        [parameter for name, parameter in trained.items() if name.startswith(slow) == first]
        for first in (True, False)
    ]
    rates = (solver.BASE_LR * solver.BACKBONE_MULTIPLIER, solver.BASE_LR)
    return [
        {"params": part, "lr": rate, "weight_decay": solver.WEIGHT_DECAY}
        for part, rate in zip(parts, rates, strict=True)
    ]
