"""Ranges and choices of configuration values, and which of them exclude each other.

Everything is read off a table before data or models are touched, so that a value that cannot work
is named by its key rather than by what breaks on it.
"""

import difflib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import BACKBONE_REGISTRY

from pading.data.augmentations import AUGMENTATIONS
from pading.errors import InputError


@dataclass(frozen=True)
class Rule:
    """What a value must be."""

    holds: Callable[[Any], bool]
    wanted: str
    """In words, behind "it must be"."""


def _number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _at_least(least: float) -> Rule:
    return Rule(lambda v: _number(v) and v >= least, f"at least {least}")


def _between(least: float, most: float) -> Rule:
    return Rule(lambda v: _number(v) and least <= v <= most, f"from {least} to {most}")


def _one_of(*choices: object) -> Rule:
    return Rule(lambda v: v in choices, f"one of {', '.join(map(repr, choices))}")


def _list_of(rule: Rule, least: int = 1) -> Rule:
    length = f"{least} or more" if least else "any number of"
    return Rule(
        lambda v: isinstance(v, (list, tuple)) and len(v) >= least and all(map(rule.holds, v)),
        f"a list of {length} values, each {rule.wanted}",
    )


_COUNT = _at_least(1)
_NOT_NEGATIVE = _at_least(0)
_POSITIVE = Rule(lambda v: _number(v) and v > 0, "above 0")
_SHARE = _between(0, 1)
_DROPOUT = Rule(lambda v: _number(v) and 0 <= v < 1, "at least 0 and below 1")
_TEXT = Rule(lambda v: isinstance(v, str) and bool(v.strip()), "a text that is not empty")
_CHANNELS = Rule(
    lambda v: _list_of(Rule(_number, "")).holds(v) and len(v) == 3, "3 numbers, one per channel"
)
_NORMS = ("", "BN", "SyncBN", "FrozenBN", "GN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N", "LN")
_BACKBONES = {"build_resnet_backbone": "RESNETS", "SwinTransformer": "SWIN"}
_FEATURES = _list_of(_TEXT)
_STAGES = ("res2", "res3", "res4", "res5")

_SEG, _GEN, _ZSL, _SWIN = "MODEL.SEGMENTER.", "MODEL.GENERATOR.", "MODEL.ZERO_SHOT.", "MODEL.SWIN."
RULES: dict[str, Rule] = {
    "DATASETS.TRAIN": _list_of(_TEXT, 0),
    "DATASETS.TEST": _list_of(_TEXT, 0),
    "DATASETS.FILES": _list_of(_TEXT, 0),
    "DATALOADER.NUM_WORKERS": _NOT_NEGATIVE,
    "INPUT.AUGMENTATION": _one_of(*AUGMENTATIONS),
    "INPUT.CROP.ENABLED": Rule(lambda v: not v, "False (see INPUT.AUGMENTATION)"),
    "INPUT.FORMAT": _one_of("RGB", "BGR"),
    "INPUT.IMAGE_SIZE": _COUNT,
    "INPUT.MIN_SCALE": _POSITIVE,
    "INPUT.MAX_SCALE": _POSITIVE,
    "INPUT.MIN_SIZE_TEST": _NOT_NEGATIVE,
    "INPUT.MAX_SIZE_TEST": _COUNT,
    "INPUT.RANDOM_FLIP": _one_of("horizontal", "vertical", "none"),
    "MODEL.META_ARCHITECTURE": _one_of("Mask2Former", "PADing"),
    "MODEL.CLASS_VECTORS": _TEXT,
    "MODEL.PIXEL_MEAN": _CHANNELS,
    "MODEL.PIXEL_STD": Rule(lambda v: _CHANNELS.holds(v) and min(v) > 0, "3 numbers above 0"),
    "MODEL.RESNETS.DEPTH": _one_of(18, 34, 50, 101, 152),
    "MODEL.RESNETS.NORM": _one_of(*_NORMS),
    "MODEL.RESNETS.OUT_FEATURES": _FEATURES,
    **{
        f"MODEL.RESNETS.{key}": _COUNT
        for key in ("NUM_GROUPS", "WIDTH_PER_GROUP", "RES2_OUT_CHANNELS", "STEM_OUT_CHANNELS")
    },
    "MODEL.INFERENCE.OBJECT_SCORE_THRESHOLD": _SHARE,
    "MODEL.INFERENCE.OVERLAP_THRESHOLD": _SHARE,
    "MODEL.INFERENCE.DTYPE": _one_of("float32", "bfloat16", "float16"),
    "MODEL.INFERENCE.INSTANCE_SETTING": _one_of("gzsi", "zsi"),
    _SEG + "CLASSES": _one_of("seen", "all"),
    **{
        _SEG + key: _COUNT
        for key in ("HIDDEN_DIM", "MASK_DIM", "NUM_QUERIES", "NUM_HEADS", "DECODER_LAYERS")
    },
    **{
        _SEG + key: _COUNT
        for key in ("DECODER_FFN_DIM", "ENCODER_LAYERS", "ENCODER_HEADS", "ENCODER_POINTS")
    },
    _SEG + "ENCODER_FFN_DIM": _COUNT,
    _SEG + "SIZE_DIVISIBILITY": _COUNT,
    _SEG + "DECODER_DROPOUT": _DROPOUT,
    _SEG + "ENCODER_DROPOUT": _DROPOUT,
    _SEG + "ENCODER_FEATURES": _FEATURES,
    _SEG + "FEATURES": _FEATURES,
    _SEG + "NORM": _one_of("GN", ""),
    **{
        f"{_SEG}LOSS.{name}_WEIGHT": _NOT_NEGATIVE
        for name in ("CLASS", "MASK", "DICE", "NO_OBJECT")
    },
    _SEG + "LOSS.NUM_POINTS": _COUNT,
    _SEG + "LOSS.OVERSAMPLE_RATIO": _at_least(1),
    _SEG + "LOSS.IMPORTANCE_RATIO": _SHARE,
    **{_SWIN + key: _COUNT for key in ("PATCH_SIZE", "EMBED_DIM", "WINDOW_SIZE")},
    _SWIN + "DEPTHS": _list_of(_COUNT),
    _SWIN + "NUM_HEADS": _list_of(_COUNT),
    _SWIN + "MLP_RATIO": _POSITIVE,
    _SWIN + "DROP_PATH_RATE": _DROPOUT,
    _SWIN + "OUT_FEATURES": _FEATURES,
    _GEN + "NAME": _one_of("primitives", "mlp"),
    **{_GEN + key: _COUNT for key in ("NUM_PRIMITIVES", "NUM_LAYERS", "NUM_HEADS", "FFN_DIM")},
    _GEN + "DROPOUT": _DROPOUT,
    _ZSL + "MOMENT_BANDWIDTHS": _list_of(_POSITIVE),
    **{
        f"{_ZSL}{name}_WEIGHT": _NOT_NEGATIVE
        for name in (
            *("GENERATOR_CLASS", "STRUCTURE", "ALIGNMENT", "UNRELATED", "RELATION"),
            "RECONSTRUCTION",
        )
    },
    _ZSL + "MEMORY": _COUNT,
    _ZSL + "UNSEEN_WEIGHT": _NOT_NEGATIVE,
    _ZSL + "NO_OBJECT_WEIGHT": _NOT_NEGATIVE,
    _ZSL + "GENERATOR_CLASS_LOGITS": _one_of("seen", "first_156"),
    _ZSL + "STRUCTURE_SOURCE": _one_of("synthetic", "both"),
    _ZSL + "STRUCTURE_DROPOUT": _DROPOUT,
    _ZSL + "TEMPERATURE": _POSITIVE,
    _ZSL + "NUM_UNSEEN_CLASSES": _COUNT,
    _ZSL + "NUM_PER_UNSEEN_CLASS": _COUNT,
    "OUTPUT_DIR": _TEXT,
    "SOLVER.OPTIMIZER": _one_of("ADAMW", "SGD"),
    "SOLVER.LR_SCHEDULER_NAME": _one_of("WarmupMultiStepLR", "WarmupCosineLR"),
    "SOLVER.IMS_PER_BATCH": _COUNT,
    "SOLVER.MAX_ITER": _COUNT,
    "SOLVER.CHECKPOINT_PERIOD": _COUNT,
    "SOLVER.ACCUMULATION_STEPS": _COUNT,
    "SOLVER.CHECKPOINTS_KEPT": _NOT_NEGATIVE,
    "SOLVER.MAX_SKIPPED_STEPS": _NOT_NEGATIVE,
    "SOLVER.STEPS": Rule(
        lambda v: _list_of(_COUNT, 0).holds(v) and list(v) == sorted({*v}),
        "iterations in ascending order",
    ),
    "SOLVER.WARMUP_METHOD": _one_of("linear", "constant"),
    "SOLVER.WARMUP_FACTOR": _SHARE,
    "SOLVER.MOMENTUM": _DROPOUT,
    **{
        f"SOLVER.{key}": _NOT_NEGATIVE
        for key in ("BASE_LR", "GENERATOR_LR", "GAMMA", "BACKBONE_MULTIPLIER", "WARMUP_ITERS")
    },
    **{f"SOLVER.WEIGHT_DECAY{suffix}": _NOT_NEGATIVE for suffix in ("", "_NORM", "_EMBED")},
    "SOLVER.AMP.DTYPE": _one_of("auto", "float16", "bfloat16"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": _one_of("full_model"),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": _POSITIVE,
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": Rule(
        lambda v: v == math.inf or _number(v) and v > 0, "above 0"
    ),
    "TEST.BEST_METRIC": Rule(
        lambda v: not v or v.count("/") == 1,
        "a task and a figure, such as 'panoptic_seg/PQ', or ''",
    ),
    "TEST.DETECTIONS_PER_IMAGE": _COUNT,
    "TEST.EVAL_PERIOD": _NOT_NEGATIVE,
}
"""Key -> what its value must be."""


def check_settings(cfg: CfgNode) -> None:
    """Refuse values that cannot work, each by itself and together.

    Raises:
        InputError: names the key, its value and what it must be.
    """
    for key, rule in RULES.items():
        value = _value(cfg, key)
        if not rule.holds(value):
            raise InputError(f"{key} is {value!r}; it must be {rule.wanted}")
    name = cfg.MODEL.BACKBONE.NAME
    if name not in BACKBONE_REGISTRY:
        known = [known for known, _ in BACKBONE_REGISTRY]
        near = difflib.get_close_matches(name, known, n=1) or ["build_resnet_backbone"]
        raise InputError(f"MODEL.BACKBONE.NAME: there is no backbone {name!r}; take {near[0]!r}")
    for problem in (*_widths(cfg), *_features(cfg), *_backbone(cfg)):
        raise InputError(problem)
    if cfg.INPUT.MIN_SCALE > cfg.INPUT.MAX_SCALE:
        raise InputError(
            f"INPUT.MIN_SCALE is {cfg.INPUT.MIN_SCALE}, above INPUT.MAX_SCALE, "
            f"{cfg.INPUT.MAX_SCALE}; exchange them"
        )


def _value(cfg: CfgNode, key: str) -> Any:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _widths(cfg: CfgNode) -> Iterator[str]:
    """What the width of the segmenter must divide by."""
    s, g = cfg.MODEL.SEGMENTER, cfg.MODEL.GENERATOR
    divisors = {
        "4 (sine and cosine of x and y)": 4,
        f"MODEL.SEGMENTER.NUM_HEADS, {s.NUM_HEADS}": s.NUM_HEADS,
        f"MODEL.SEGMENTER.ENCODER_HEADS, {s.ENCODER_HEADS}": s.ENCODER_HEADS,
        "32 (the groups of MODEL.SEGMENTER.NORM 'GN')": 32,  # of the input projections, always
    }
    if cfg.MODEL.META_ARCHITECTURE == "PADing" and g.NAME == "primitives":
        divisors[f"MODEL.GENERATOR.NUM_HEADS, {g.NUM_HEADS}"] = g.NUM_HEADS
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
