"""The model that a configuration describes, with the classes of the data sets that it names."""

from detectron2.config import CfgNode
from torch import Tensor

from pading.data.catalogue import configured_split, metadata_of
from pading.errors import InputError
from pading.models.base import SegmentationModel
from pading.models.registry import build_model, model_class
from pading.vocabulary.class_vectors import load_class_vectors, vectors_source
from pading.vocabulary.splits import ClassSplit


def configured_vocabulary(cfg: CfgNode) -> tuple[ClassSplit, Tensor | None]:
    """The split of the data sets; vectors (K, d) where the system uses MODEL.CLASS_VECTORS.

    Raises:
        InputError: data sets that do not fit each other, or vectors that do not fit the classes.
    """
    split = configured_split(cfg)
    system = model_class(cfg.MODEL.META_ARCHITECTURE)
    if cfg.DATASETS.OWN_LABELS and not system.takes_own_labels:
        raise InputError(
            f"DATASETS.OWN_LABELS: {cfg.MODEL.META_ARCHITECTURE} learns one list of classes; name "
            "data sets of one class split"
        )
    if not system.uses_class_vectors:
        return split, None
    return split, load_class_vectors(cfg.MODEL.CLASS_VECTORS, split)


def configured_model(cfg: CfgNode) -> SegmentationModel:
    """The model with fresh weights, on MODEL.DEVICE.

    Raises:
        InputError: see :func:`configured_vocabulary`, :func:`pading.models.registry.build_model`.
    """
    split, vectors = configured_vocabulary(cfg)
    model = build_model(cfg, split, vectors)
    if vectors is not None:
        model.vectors_source = vectors_source(cfg.MODEL.CLASS_VECTORS)
    return model


def scored_vocabulary(cfg: CfgNode, name: str) -> tuple[ClassSplit, Tensor]:
    """With DATASETS.OWN_LABELS: split and vectors (K, d) of a data set that is scored.

    Raises:
        InputError: MODEL.CLASS_VECTORS has no vector for one of its classes.
    """
    split = metadata_of(name).split
    return split, load_class_vectors(cfg.MODEL.CLASS_VECTORS, split)
