"""Names in published checkpoints (Mask2Former, PADing) and ours: the one table of them."""

from collections.abc import Mapping
from typing import TypeVar

from pading.errors import InputError

T = TypeVar("T")

# Tensors that only the published code has keep their names in our files, behind this.
THEIRS = "published."
# Tensors that only we have, likewise in files of the published layout.
_OURS = "pading."

PUBLISHED_NAMES = (
    # how a published name begins, how ours does; everything else is the same in both
    ("new_fc.", "classifier."),
    ("fc_projection.", "semantic_projection."),
    ("dict_feature.", "generator.primitives."),
    ("projection_related.encoder.", "disentangler.related."),
    ("projection_unrelated.encoder.", "disentangler.unrelated."),
    ("decoder.decoder.", "disentangler.decoder."),
    ("relation.", "disentangler.relation."),
    # The class weights of a loss: theirs come from the configuration, and ours need no buffer.
    ("criterion.", THEIRS + "criterion."),
    # Published models are given their vectors from outside.
    (_OURS + "class_vectors", "class_vectors"),
)

_HEAD = "sem_seg_head."
OLDER_NAMES = (
    # how names of Mask2Former's first checkpoints began, how published ones do now
    (_HEAD + "predictor.static_query.", _HEAD + "predictor.query_feat."),
    *(
        (_HEAD + part, f"{_HEAD}pixel_decoder.{part}")
        for part in ("input_proj.", "transformer.", "mask_features.", "adapter_", "layer_")
    ),
)
_WRAPPED = "module."  # DistributedDataParallel's, saved with it


def our_name(name: str) -> str:
    """Our name of a tensor under its published name; a name of ours is given back as it is."""
    name = _replace(name.removeprefix(_WRAPPED), OLDER_NAMES)
    return _replace(name, PUBLISHED_NAMES)


def published_name(name: str) -> str:
    """The published name of a tensor under ours; a published name is given back as it is."""
    return _replace(name, tuple((ours, theirs) for theirs, ours in PUBLISHED_NAMES))


def our_names(weights: Mapping[str, T]) -> dict[str, T]:
    """Rename a state dict's entries from published names (or ours) to ours.

    Raises:
        InputError: two entries have one name of ours.
    """
    return _rename(weights, our_name)


def published_names(weights: Mapping[str, T]) -> dict[str, T]:
    """Rename a state dict's entries from our names (or published ones) to the published.

    Raises:
        InputError: two entries have one published name.
    """
    return _rename(weights, published_name)


def _rename(weights: Mapping[str, T], new_name) -> dict[str, T]:
    renamed: dict[str, T] = {}
    origin: dict[str, str] = {}
    for name, value in weights.items():
        new = new_name(name)
        if new in renamed:
            raise InputError(
                f"{origin[new]} and {name} are two names of one tensor ({new}); remove one of them"
            )
        renamed[new], origin[new] = value, name
    return renamed


def _replace(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for old, new in table:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
