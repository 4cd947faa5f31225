"""Configurations with typos, wrong types, values out of range and combinations that cannot be."""

from collections.abc import Callable

import pytest
from detectron2.config import get_cfg

from pading.commands import train as train_net
from pading.config import KEYS, add_pading_config, check_settings, load_config
from pading.config.key import ANY
from pading.errors import InputError
from tests import runs
from tests.bad_inputs.rows import Row, Run, check_refusal, nothing, table, train
from tests.bad_inputs.world import World

_SEG, _ZSL, _GEN = "MODEL.SEGMENTER.", "MODEL.ZERO_SHOT.", "MODEL.GENERATOR."
_SWIN = ("MODEL.BACKBONE.NAME", "SwinTransformer")
_RESNET = ("MODEL.BACKBONE.NAME", "build_resnet_backbone")
_OUT = "MODEL.RESNETS.OUT_FEATURES"


def _row(culprit: str, remedy: str, *overrides: object, stage: str = "pretrain") -> Row:
    """KEY VALUE pairs; the row is named after the last pair."""
    name = " ".join(map(str, overrides[-2:]))
    return Row(name, nothing, culprit, remedy, train(*overrides, stage=stage))


def _set(key: str, value: object, remedy: str, stage: str = "pretrain") -> Row:
    """A value that is refused with its key and what it must be."""
    return _row(f"{key} is", f"it must be {remedy}", key, value, stage=stage)


KEYS_AND_TYPES = [
    _row("SOLVER.MAX_ITERS", "did you mean SOLVER.MAX_ITER?", "SOLVER.MAX_ITERS", 3),
    _row("MODEL.MASK_FORMER.NHEADS", f"use {_SEG}NUM_HEADS", "MODEL.MASK_FORMER.NHEADS", 8),
    _row("SOLVER is a section", "set one of its keys", "SOLVER", 3),
    _row("SOLVER.MAX_ITER is 'many'", "a int such as", "SOLVER.MAX_ITER", "many"),
    _row("SOLVER.MAX_ITER is 1.5", "a int such as", "SOLVER.MAX_ITER", 1.5),
    _row("SOLVER.MAX_ITER has no value", "give one such as", "SOLVER.MAX_ITER", None),
    _row("SOLVER.AMP.ENABLED is 'yes'", "a bool such as", "SOLVER.AMP.ENABLED", "yes"),
    _row("DATASETS.TRAIN is 'a'", "a tuple such as", "DATASETS.TRAIN", "a"),
    _row("'SEED' stands alone", "add its value", "SEED"),
    _set("DATASETS.TRAIN", (1, 2), "a list of any number of values, each a text"),
    _set(_ZSL + "MOMENT_BANDWIDTHS", ["a"], "a list of 1 or more values, each above 0"),
    _set("MODEL.PIXEL_MEAN", [1.0], "3 numbers, one per channel"),
]
CHOICES = [
    _row("is 'GeneralizedRCNN'", "take one of", "MODEL.META_ARCHITECTURE", "GeneralizedRCNN"),
    _row(
        "no backbone 'SwinTransfomer'",
        "take 'SwinTransformer'",
        "MODEL.BACKBONE.NAME",
        "SwinTransfomer",
    ),
    _set("MODEL.RESNETS.DEPTH", 51, "one of 18, 34, 50, 101, 152"),
    _set("MODEL.RESNETS.NORM", "XN", "one of '', 'BN'"),
    _set(_SEG + "CLASSES", "none", "one of 'seen', 'all'"),
    _set(_SEG + "NORM", "BM", "one of 'GN', ''"),
    _set(_GEN + "NAME", "gan", "one of 'primitives', 'mlp'", "PADing"),
    _set(_ZSL + "STRUCTURE_SOURCE", "real", "one of 'synthetic', 'both'", "PADing"),
    _set(_ZSL + "SOURCE", "memory", "one of 'auto', 'images', 'stored'", "PADing"),
    _set("MODEL.STORE.DTYPE", "int8", "one of 'float16', 'float32'", "PADing"),
    _set("MODEL.STORE.NO_OBJECT_SHARE", 0.0, "more than 0, at most 1", "PADing"),
    _set("MODEL.STORE.AUGMENTATIONS", 0, "at least 1", "PADing"),
    _set("MODEL.STORE.IMAGES", -1, "at least 0", "PADing"),
    _set("MODEL.INFERENCE.INSTANCE_SETTING", "ZSI", "one of 'gzsi', 'zsi'", "PADing"),
    _set("INPUT.AUGMENTATION", "crop", "one of 'large_scale_jitter', 'semantic', 'flip', 'none'"),
    _set("INPUT.RANDOM_FLIP", "diagonal", "one of 'horizontal'"),
    _set("INPUT.FORMAT", "L", "one of 'RGB', 'BGR'"),
    _set("INPUT.CROP.ENABLED", True, "False (see INPUT.AUGMENTATION)"),
    _set("SOLVER.OPTIMIZER", "ADAM", "one of 'ADAMW', 'SGD'"),
    _set("SOLVER.LR_SCHEDULER_NAME", "Cosine", "one of 'WarmupMultiStepLR'"),
    _set("SOLVER.WARMUP_METHOD", "fast", "one of 'linear', 'constant'"),
    _set("SOLVER.AMP.DTYPE", "int8", "one of 'auto', 'float16', 'bfloat16'"),
    _set("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm", "one of 'full_model'"),
]
RANGES = [
    _set(_SEG + "HIDDEN_DIM", -64, "at least 1"),
    _set(_SEG + "NUM_QUERIES", 0, "at least 1"),
    _set(_SEG + "DECODER_LAYERS", 0, "at least 1"),
    _set(_SEG + "ENCODER_DROPOUT", 1.0, "at least 0 and below 1"),
    _set(_SEG + "LOSS.NUM_POINTS", 0, "at least 1"),
    _set(_SEG + "LOSS.IMPORTANCE_RATIO", 1.5, "from 0 to 1"),
    _set(_SEG + "LOSS.CLASS_WEIGHT", "1e999", "at least 0"),
    _set(_ZSL + "TEMPERATURE", 0.0, "above 0", "PADing"),
    _set(_ZSL + "NUM_UNSEEN_CLASSES", 0, "at least 1", "PADing"),
    _set("MODEL.PIXEL_STD", [1.0, 0.0, 1.0], "3 numbers above 0"),
    _set("MODEL.INFERENCE.OVERLAP_THRESHOLD", 80.0, "from 0 to 1"),
    _set("INPUT.IMAGE_SIZE", -1, "at least 1"),
    _set("SOLVER.IMS_PER_BATCH", 0, "at least 1"),
    _set("SOLVER.MAX_ITER", -5, "at least 1"),
    _set("SOLVER.BASE_LR", -0.1, "at least 0"),
    _set("SOLVER.CHECKPOINT_PERIOD", 0, "at least 1"),
    _set("SOLVER.STEPS", (20, 10), "iterations in ascending order"),
    _set("DATALOADER.NUM_WORKERS", -1, "at least 0"),
    _set("OUTPUT_DIR", "", "a text that is not empty"),
]
COMBINATIONS = [
    _row(
        "HIDDEN_DIM is 96, which does not divide by",
        f"{_SEG}NUM_HEADS, 5",
        _SEG + "HIDDEN_DIM",
        96,
        _SEG + "NUM_HEADS",
        5,
    ),
    _row(
        "HIDDEN_DIM is 96, which does not divide by",
        f"{_SEG}ENCODER_HEADS, 5",
        _SEG + "HIDDEN_DIM",
        96,
        _SEG + "ENCODER_HEADS",
        5,
    ),
    _row(
        "MODEL.ZERO_SHOT.BACKBONE_FEATURES has 'res1'",
        "take some of MODEL.SEGMENTER.FEATURES",
        "MODEL.ZERO_SHOT.BACKBONE_FEATURES",
        ["res1"],
        stage="PADing",
    ),
    _row("HIDDEN_DIM is 24", "does not divide by 32", _SEG + "HIDDEN_DIM", 24),
    _row("INPUT.MIN_SCALE is 3.0", "exchange them", "INPUT.MIN_SCALE", 3.0),
    _row("FEATURES has 'res1'", _OUT, *_RESNET, _SEG + "FEATURES", ["res1"]),
    _row("FEATURES has 'res5'", "MODEL.CONVNET.WIDTHS", _SEG + "FEATURES", ["res4", "res5"]),
    _row("SEGMENT_WEIGHT is", "MASK_POOLING on", _SEG + "MASK_POOLING", False),
    _row(
        _SEG + "ENCODER_FEATURES is", "but the finest", _SEG + "ENCODER_FEATURES", ["res2", "res3"]
    ),
    _row(
        "RES2_OUT_CHANNELS is 256",
        "it must be 64",
        *(*_RESNET, _OUT, ["res2", "res3", "res4"]),
        "MODEL.RESNETS.RES2_OUT_CHANNELS",
        256,
        "MODEL.RESNETS.DEPTH",
        18,
    ),
    _row(
        "OUT_FEATURES has 'res6'",
        "take some of res2",
        *_RESNET,
        _OUT,
        ["res2", "res3", "res4", "res5", "res6"],
    ),
    _row("MODEL.SWIN.NUM_HEADS is [3]", "one number for each", *_SWIN, "MODEL.SWIN.NUM_HEADS", [3]),
    _row("MODEL.SWIN.EMBED_DIM is 100", "must divide by", *_SWIN, "MODEL.SWIN.EMBED_DIM", 100),
    _row(
        _SEG + 'CLASSES must be "all"',
        "preprocess_pretrained_weight.py",
        _SEG + "CLASSES",
        "seen",
        stage="PADing",
    ),
    _row("PANOPTIC_ON", "switch that off", "DATASETS.TRAIN", "('instance_train',)"),
]


@table([*KEYS_AND_TYPES, *CHOICES, *RANGES, *COMBINATIONS])
def test_settings(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)


def _file(text: str) -> Callable[[World], object]:
    return lambda world: world.path("config.yaml").write_text(text)


def _command(*arguments: str) -> Run:
    """{root} stands for the world's folder."""

    def run(world: World) -> None:
        runs.run(train_net.main, *(a.replace("{root}", str(world.root)) for a in arguments))

    return run


_RUN = _command("--config-file", "{root}/config.yaml")
_LATE = _command("--config-file", "{root}/config.yaml", "SEED", "1", "--resume")
FILES = [
    Row("missing", nothing, "config.yaml: cannot read this", "give the path of a file", _RUN),
    Row("empty", _file(""), "config.yaml: expected a YAML mapping", "of keys to values", _RUN),
    Row("broken", _file("A: ["), "config.yaml: not a plain YAML file", "correct it there", _RUN),
    Row(
        "binary",
        lambda w: w.path("config.yaml").write_bytes(b"\xff\x80"),
        "config.yaml: not a pl",
        "correct",
        _RUN,
    ),
    Row(
        "key twice",
        _file("SEED: 1\nSEED: 2"),
        "config.yaml: not a plain YAML file: the key 'SEED' occurs twice",
        "line 2",
        _RUN,
    ),
    Row(
        "endless", _file("A: &a\n  B: *a"), "config.yaml: not a plain YAML file", "or no end", _RUN
    ),
    Row(
        "blown up",
        _file(
            "\n".join(
                f"x{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else '1'] * 9)}]" for i in range(12)
            )
        ),
        "config.yaml: not a plain YAML file",
        "more than 100000 values",
        _RUN,
    ),
    Row("deep", _file("[" * 2000), "config.yaml: not a plain YAML file", "correct it there", _RUN),
    Row("base of a number", _file("_BASE_: 3"), "3: cannot read", "give the path of a file", _RUN),
    Row(
        "base in a circle",
        _file("_BASE_: config.yaml"),
        "leads back to itself",
        "remove the circle",
        _RUN,
    ),
    Row(
        "no value",
        _file("SOLVER: {MAX_ITER: }"),
        "SOLVER.MAX_ITER has no value",
        "give one such as",
        _RUN,
    ),
    Row("no file", nothing, "--config-file is missing", "configs/ holds one", _command()),
    Row("late option", _file("SEED: 1"), "--resume must stand before", "move it there", _LATE),
]


@table(FILES)
def test_files(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)


@pytest.mark.parametrize(
    "path",
    sorted((runs.ROOT / "configs").glob("*/[pP]*.yaml")),
    ids=lambda p: "/".join(p.parts[-2:]),
)
def test_shipped_configurations_pass(path) -> None:
    if path.parent.name != "shared":
        check_settings(load_config(str(path)))


def test_every_number_and_choice_of_ours_has_a_rule() -> None:
    def leaves(node, prefix=""):
        for key, value in node.items():
            if hasattr(value, "items"):
                yield from leaves(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    theirs, ours = get_cfg(), get_cfg()
    add_pading_config(ours)
    known = {key for key, _ in leaves(theirs)}
    new = {key for key, value in leaves(ours) if key not in known and not isinstance(value, bool)}
    assert new <= {key.name for key in KEYS}
    free = {key.name for key in KEYS if key.rule is ANY and not isinstance(key.default, bool)}
    # A device is checked on its machine, a system by the catalogue, a split, a store and another
    # model's weights when read; what is taken off scores may be any number.
    assert free == {
        "DATASETS.SPLIT",
        "MODEL.DEVICE",
        "MODEL.INFERENCE.SECOND_OPINION.WEIGHTS",
        "MODEL.INFERENCE.SEEN_BIAS",
        "MODEL.META_ARCHITECTURE",
        "MODEL.STORE.PATH",
    }
    with pytest.raises(InputError, match="OUTPUT_DIR is ' '; it must be a text that is not empty"):
        ours.OUTPUT_DIR = " "
        check_settings(ours)
