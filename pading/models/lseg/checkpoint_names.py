"""Names in LSeg's published checkpoints and ours."""

from pading.checkpoint.published_names import THEIRS, NameTable, Pairs

_LIGHTNING = "net."
"""What Lightning put in front of every name; copies of the checkpoints without it circulate."""


def _scales() -> Pairs:
    pairs: list[tuple[str, str]] = []
    for i in range(4):
        act, stage = f"pretrained.act_postprocess{i + 1}.", f"scratch.refinenet{i + 1}."
        pairs += [
            (f"{act}0.project.0.", f"reassembly.scales.{i}.readout.project."),
            (f"{act}3.", f"reassembly.scales.{i}.projection."),
            (f"{act}4.", f"reassembly.scales.{i}.resize."),
            (f"scratch.layer{i + 1}_rn.", f"fusion.projections.{i}."),
            (f"{stage}resConfUnit1.", f"fusion.stages.{i}.skip_unit."),
            (f"{stage}resConfUnit2.", f"fusion.stages.{i}.unit."),
            (f"{stage}out_conv.", f"fusion.stages.{i}.output."),
        ]
    return tuple(pairs)


# What the published networks hold and do not use: all of CLIP (texts are encoded beforehand), the
# ViT's last norm and classifier, and what the coarsest stage would add to.
_UNUSED = (
    "clip_pretrained.",
    "pretrained.model.norm.",
    "pretrained.model.head.",
    "scratch.refinenet4.resConfUnit1.",
)
_PAIRS: Pairs = (
    *((name, THEIRS + name) for name in _UNUSED),
    *_scales(),
    ("pretrained.model.", "backbone.vit."),
    # torchvision's ResNet; its stem is the first stage's.
    ("pretrained.layer1.0.", "backbone.model.conv1."),
    ("pretrained.layer1.1.", "backbone.model.bn1."),
    ("pretrained.layer1.4.", "backbone.model.layer1."),
    *((f"pretrained.layer{i}.", f"backbone.model.layer{i}.") for i in (2, 3, 4)),
    ("scratch.head1.", "pixel_embedding."),
    ("scratch.head_block.depthwise.depthwise.", "spatial_regularisation.convolutions.0."),
)

LSEG_NAMES = NameTable((*((_LIGHTNING + theirs, ours) for theirs, ours in _PAIRS), *_PAIRS))
