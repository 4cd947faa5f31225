"""How a model gets its criterion without importing it: losses are a later room than modeling."""

from collections.abc import Sequence
from typing import Protocol

from detectron2.config import CfgNode
from fvcore.common.registry import Registry
from torch import Tensor, nn

from pading.modeling.targets import Targets
from pading.modeling.transformer_decoder import Predictions

CRITERION_REGISTRY = Registry("CRITERION")
CRITERION_REGISTRY.__doc__ = """
Training criteria by name; each is a module whose ``__init__`` takes a configuration by Detectron2's
``@configurable``. ``pading.losses`` registers the two that the models ask for.
"""


class SegmenterCriterion(Protocol):
    """What the segmenter asks of its criterion."""

    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Losses by name."""

    def query_labels(self, predictions: Predictions, targets: Sequence[Targets]) -> Tensor:
        """(B, Q) int64: the class of each query's matched target, no-object for the others."""


def build_criterion(name: str, cfg: CfgNode) -> nn.Module:
    """The registered criterion of this name, built from the configuration."""
    return CRITERION_REGISTRY.get(name)(cfg)
