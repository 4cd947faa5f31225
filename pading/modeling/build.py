"""How a model gets its criterion without importing it: losses are a later room than modeling."""

from detectron2.config import CfgNode
from fvcore.common.registry import Registry
from torch import nn

CRITERION_REGISTRY = Registry("CRITERION")
CRITERION_REGISTRY.__doc__ = """
Training criteria by name; each is a module whose ``__init__`` takes a configuration by Detectron2's
``@configurable``. ``pading.losses`` registers the two that the models ask for.
"""


def build_criterion(name: str, cfg: CfgNode) -> nn.Module:
    """The registered criterion of this name, built from the configuration."""
    return CRITERION_REGISTRY.get(name)(cfg)
