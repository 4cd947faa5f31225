"""The catalogue of systems, and a model of any of them from a configuration and its vocabulary."""

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from pading.checkpoint.matching import is_backbone_alone
from pading.errors import InputError
from pading.models.base import SegmentationModel
from pading.vocabulary.splits import ClassSplit

SYSTEMS = {
    "Mask2Former": "pading.models.mask2former",
    "PADing": "pading.models.pading.stage_two",
    "LSeg": "pading.models.lseg.lseg",
    "ZegCLIP": "pading.models.zegclip.zegclip",
}
"""MODEL.META_ARCHITECTURE -> the module that registers it."""


def list_models() -> list[str]:
    """Names of the systems, as MODEL.META_ARCHITECTURE takes them."""
    return sorted({*SYSTEMS, *(n for n, c in META_ARCH_REGISTRY if _keeps_contract(c))})


def model_class(name: str) -> type[SegmentationModel]:
    """The system that MODEL.META_ARCHITECTURE names: one of ours, or one that a user registered.

    Raises:
        InputError: there is none of that name, or it does not keep the contract.
    """
    if name in SYSTEMS:
        importlib.import_module(SYSTEMS[name])
    known = list_models()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise InputError(
            f"MODEL.META_ARCHITECTURE is {name!r}; "
            + (f"did you mean {near[0]!r}?" if near else f"take one of {', '.join(known)}")
        )
    return META_ARCH_REGISTRY.get(name)


def build_model(
    cfg: CfgNode, split: ClassSplit, class_vectors: Tensor | None = None
) -> SegmentationModel:
    """A model with fresh weights, on MODEL.DEVICE.

    Args:
        cfg: the settings.
        split: the classes.
        class_vectors: (K, d) in their order, where the system uses any.

    Raises:
        InputError: no such system, or what it refuses.
    """
    chosen = model_class(cfg.MODEL.META_ARCHITECTURE)
    chosen.check(cfg, split)
    vectors = class_vectors if chosen.uses_class_vectors else None
    build: Any = chosen  # Detectron2's @configurable turns these into the class's own arguments
    return build(cfg, split=split, class_vectors=vectors).to(cfg.MODEL.DEVICE)


def system_of_weights(names: Iterable[str]) -> type[SegmentationModel] | None:
    """The system whose published names (or ours) these are; None where it is none that we know.

    Where a later stage only adds to an earlier one, it is the later.
    """
    listed = list(names)

    def renamed(system: type[SegmentationModel]) -> int:
        table = system.published_names
        return sum(table.ours(n) != n or table.published(n) != n for n in listed)

    systems = [model_class(name) for name in reversed(SYSTEMS)]
    found = [system for system in systems if not is_backbone_alone(listed, system)]
    return max(found, key=renamed, default=None)


def _keeps_contract(candidate: object) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, SegmentationModel)
