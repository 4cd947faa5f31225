"""Settings of the query-based segmenter that exclude each other."""

from collections.abc import Iterator

from detectron2.config import CfgNode

from pading.errors import InputError

_BACKBONES = {"build_resnet_backbone": "RESNETS", "SwinTransformer": "SWIN"}
_STAGES = ("res2", "res3", "res4", "res5")


def check_segmenter(cfg: CfgNode) -> None:
    """Refuse settings that cannot work together.

    Raises:
        InputError: names the keys.
    """
    for problem in (*_widths(cfg), *_features(cfg), *_backbone(cfg)):
        raise InputError(problem)


def _widths(cfg: CfgNode) -> Iterator[str]:
    """What the width of the segmenter must divide by."""
    s = cfg.MODEL.SEGMENTER
    divisors = {
        "4 (sine and cosine of x and y)": 4,
        f"MODEL.SEGMENTER.NUM_HEADS, {s.NUM_HEADS}": s.NUM_HEADS,
        f"MODEL.SEGMENTER.ENCODER_HEADS, {s.ENCODER_HEADS}": s.ENCODER_HEADS,
        "32 (the groups of MODEL.SEGMENTER.NORM 'GN')": 32,  # of the input projections, always
    }
    for what, divisor in divisors.items():
        if s.HIDDEN_DIM % divisor:
            yield (
                f"MODEL.SEGMENTER.HIDDEN_DIM is {s.HIDDEN_DIM}, which does not divide by {what}; "
                "give a multiple of it"
            )


def _features(cfg: CfgNode) -> Iterator[str]:
    """Features that the segmenter uses and that the backbone gives."""
    s = cfg.MODEL.SEGMENTER
    section = _BACKBONES.get(cfg.MODEL.BACKBONE.NAME)
    if section:
        missing = [name for name in s.FEATURES if name not in cfg.MODEL[section].OUT_FEATURES]
        if missing:
            yield (
                f"MODEL.SEGMENTER.FEATURES has {missing[0]!r}, which the backbone does not give; "
                f"add it to MODEL.{section}.OUT_FEATURES, {cfg.MODEL[section].OUT_FEATURES}"
            )
    if cfg.MODEL.BACKBONE.NAME == "PlainConvNet":
        given = [f"res{i}" for i, _ in enumerate(cfg.MODEL.CONVNET.WIDTHS, 1)]
        missing = [name for name in s.FEATURES if name not in given]
        if missing:
            yield (
                f"MODEL.SEGMENTER.FEATURES has {missing[0]!r}, which the backbone does not give; "
                f"it gives {', '.join(given)}, one for each width in MODEL.CONVNET.WIDTHS"
            )
    if s.LOSS.SEGMENT_WEIGHT and not s.MASK_POOLING:
        yield (
            f"MODEL.SEGMENTER.LOSS.SEGMENT_WEIGHT is {s.LOSS.SEGMENT_WEIGHT}, but nothing tells a "
            "class by a mask; switch MODEL.SEGMENTER.MASK_POOLING on"
        )
    # Names end in what counts their strides: res2 is finer than res3.
    if sorted(s.ENCODER_FEATURES) != sorted(s.FEATURES)[1:]:
        yield (
            f"MODEL.SEGMENTER.ENCODER_FEATURES is {s.ENCODER_FEATURES}; it must be all of "
            f"MODEL.SEGMENTER.FEATURES, {s.FEATURES}, but the finest"
        )


def _backbone(cfg: CfgNode) -> Iterator[str]:
    """What the two backbones of the shipped configurations cannot be."""
    resnets, swin = cfg.MODEL.RESNETS, cfg.MODEL.SWIN
    if cfg.MODEL.BACKBONE.NAME == "build_resnet_backbone":
        if resnets.DEPTH in (18, 34) and resnets.RES2_OUT_CHANNELS != 64:
            yield (
                f"MODEL.RESNETS.RES2_OUT_CHANNELS is {resnets.RES2_OUT_CHANNELS}; it must be 64 "
                f"for MODEL.RESNETS.DEPTH {resnets.DEPTH}"
            )
        unknown = [n for n in resnets.OUT_FEATURES if n not in ("stem", *_STAGES)]
        if unknown:
            yield (
                f"MODEL.RESNETS.OUT_FEATURES has {unknown[0]!r}; take some of {', '.join(_STAGES)}"
            )
    if cfg.MODEL.BACKBONE.NAME == "SwinTransformer":
        if len(swin.DEPTHS) != len(swin.NUM_HEADS):
            yield (
                f"MODEL.SWIN.NUM_HEADS is {swin.NUM_HEADS}; it must have one number for each "
                f"stage of MODEL.SWIN.DEPTHS, {swin.DEPTHS}"
            )
        for stage, heads in enumerate(swin.NUM_HEADS):
            if swin.EMBED_DIM * 2**stage % heads:
                yield (
                    f"MODEL.SWIN.EMBED_DIM is {swin.EMBED_DIM}; the width of stage {stage}, "
                    f"{swin.EMBED_DIM * 2**stage}, must divide by its MODEL.SWIN.NUM_HEADS, {heads}"
                )
        unknown = [n for n in swin.OUT_FEATURES if n not in _STAGES[: len(swin.DEPTHS)]]
        if unknown:
            yield (
                f"MODEL.SWIN.OUT_FEATURES has {unknown[0]!r}; "
                f"take some of {', '.join(_STAGES[: len(swin.DEPTHS)])}"
            )
