"""Names in published checkpoints of PADing, and ours."""

from pading.checkpoint.published_names import OURS, NameTable
from pading.models.mask2former import Mask2Former

PADING_NAMES = NameTable(
    pairs=(
        ("new_fc.", "classifier."),
        ("fc_projection.", "semantic_projection."),
        ("dict_feature.", "generator.primitives."),
        ("projection_related.encoder.", "disentangler.related."),
        ("projection_unrelated.encoder.", "disentangler.unrelated."),
        ("decoder.decoder.", "disentangler.decoder."),
        ("relation.", "disentangler.relation."),
        # Published models are given their vectors from outside.
        (OURS + "class_vectors", "class_vectors"),
        *Mask2Former.published_names.pairs,
    ),
    older=Mask2Former.published_names.older,
)
