"""Every configuration key that pading adds to Detectron2's, and how a configuration is read.

Keys of the published code (Mask2Former, PADing) that we renamed or dropped are refused by name
with the new one: :data:`PUBLISHED_KEYS` is the one table of them.
"""

import ast
import difflib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import yaml
from detectron2.config import CfgNode, get_cfg

from pading.errors import InputError


def add_pading_config(cfg: CfgNode) -> None:
    """Add pading's keys, with the published COCO defaults, to Detectron2's own."""
    _add_data_keys(cfg)
    _add_segmenter_keys(cfg)
    _add_zero_shot_keys(cfg)
    _add_solver_keys(cfg)


def _add_data_keys(cfg: CfgNode) -> None:
    # YAML or JSON files, each describing one of the user's own data sets (datasets/README.md).
    cfg.DATASETS.FILES = ()
    # Class split of the data sets of TRAIN and TEST instead of their own: a shipped one or a file
    # such as tools/add_classes.py writes; "": their own.
    cfg.DATASETS.SPLIT = ""
    # Training augmentation: "large_scale_jitter" (random scale, fixed crop, flip), "semantic" (what
    # follows BASE_SIZE below), "flip", "none".
    cfg.INPUT.AUGMENTATION = "large_scale_jitter"
    # Side of the square crop of large-scale jitter, in pixels.
    cfg.INPUT.IMAGE_SIZE = 1024
    # Range of the random scale, relative to IMAGE_SIZE (semantic: BASE_SIZE).
    cfg.INPUT.MIN_SCALE = 0.1
    cfg.INPUT.MAX_SCALE = 2.0
    # What the longer and the shorter side of an image may be at scale 1; equal: the longer alone.
    cfg.INPUT.BASE_SIZE = (2048, 512)
    # Height and width of the crop; what is smaller is padded.
    cfg.INPUT.CROP_SIZE = (512, 512)
    # A crop is drawn anew while one class has more of its labelled pixels; 1: never.
    cfg.INPUT.MAX_CLASS_SHARE = 0.75
    # Random brightness, contrast, saturation and hue.
    cfg.INPUT.PHOTOMETRIC_DISTORTION = True
    # The usual order of ImageNet weights; Detectron2's own default is BGR.
    cfg.INPUT.FORMAT = "RGB"


def _add_segmenter_keys(cfg: CfgNode) -> None:
    # "Mask2Former" is stage 1, "PADing" stage 2.
    cfg.MODEL.META_ARCHITECTURE = "Mask2Former"
    # Detectron2's own default asks for CUDA wherever it runs.
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

    cfg.MODEL.SEGMENTER = s = CfgNode()
    # Outputs of the class head beside no-object: "seen" classes of the split (stage 1) or "all"
    # (stage 2).
    s.CLASSES = "seen"
    # Width C of queries, class embeddings and pixel decoder.
    s.HIDDEN_DIM = 256
    # Width of the mask features and of a query's mask embedding.
    s.MASK_DIM = 256
    # Object queries per image (Q).
    s.NUM_QUERIES = 100
    # Attention heads in the transformer decoder.
    s.NUM_HEADS = 8
    # Decoder layers; each adds one auxiliary prediction, and there is one before the first.
    s.DECODER_LAYERS = 9
    # Width of the decoder's feed-forward layers.
    s.DECODER_FFN_DIM = 2048
    # Dropout in the decoder.
    s.DECODER_DROPOUT = 0.0
    # Deformable-attention layers of the pixel decoder's encoder; their heads, points per level, FFN
    # width and dropout.
    s.ENCODER_LAYERS = 6
    s.ENCODER_HEADS = 8
    s.ENCODER_POINTS = 4
    s.ENCODER_FFN_DIM = 1024
    s.ENCODER_DROPOUT = 0.0
    # Backbone outputs that the encoder attends over; the remaining one makes the mask features.
    s.ENCODER_FEATURES = ["res3", "res4", "res5"]
    s.FEATURES = ["res2", "res3", "res4", "res5"]
    # Normalisation of the pixel decoder's convolutions: "GN", or "" for none.
    s.NORM = "GN"
    # Images are padded to multiples of this many pixels.
    s.SIZE_DIVISIBILITY = 32

    s.LOSS = CfgNode()
    # Weights of the class, mask and dice terms, in the loss and in the matching.
    s.LOSS.CLASS_WEIGHT = 2.0
    s.LOSS.MASK_WEIGHT = 5.0
    s.LOSS.DICE_WEIGHT = 5.0
    # Weight of the no-object class in the cross-entropy.
    s.LOSS.NO_OBJECT_WEIGHT = 0.1
    # Supervise the predictions of every decoder layer rather than of the last alone.
    s.LOSS.DEEP_SUPERVISION = True
    # Points sampled per mask; candidates drawn per point; share chosen by uncertainty.
    s.LOSS.NUM_POINTS = 12544
    s.LOSS.OVERSAMPLE_RATIO = 3.0
    s.LOSS.IMPORTANCE_RATIO = 0.75

    cfg.MODEL.INFERENCE = i = CfgNode()
    # Which results the model gives.
    i.PANOPTIC_ON = True
    i.INSTANCE_ON = False
    i.SEMANTIC_ON = False
    # Type of mixed precision: "float32" (none), "bfloat16" or "float16", which is for GPUs alone:
    # on a CPU it takes a hundred times as long.
    i.DTYPE = "float32"
    # Instances: "gzsi", generalised: all classes are candidates and scored; "zsi": the unseen ones
    # alone.
    i.INSTANCE_SETTING = "gzsi"
    # Panoptic: a query takes part if its best class scores above this...
    i.OBJECT_SCORE_THRESHOLD = 0.8
    # ...and its segment stays if it keeps at least this share of its own area.
    i.OVERLAP_THRESHOLD = 0.8

    cfg.MODEL.SWIN = w = CfgNode()
    # Swin Transformer (Liu et al., ICCV 2021); the defaults are Swin-T.
    w.PATCH_SIZE = 4
    w.EMBED_DIM = 96
    w.DEPTHS = [2, 2, 6, 2]
    w.NUM_HEADS = [3, 6, 12, 24]
    w.WINDOW_SIZE = 7
    w.MLP_RATIO = 4.0
    w.QKV_BIAS = True
    w.DROP_PATH_RATE = 0.3
    w.PATCH_NORM = True
    w.OUT_FEATURES = ["res2", "res3", "res4", "res5"]


def _add_zero_shot_keys(cfg: CfgNode) -> None:
    # Class vectors: a set that ships with pading ("coco_minilm", "shapes_minilm") or a file.
    cfg.MODEL.CLASS_VECTORS = "coco_minilm"

    cfg.MODEL.GENERATOR = g = CfgNode()
    # "primitives" (PADing) or "mlp" (a plain two-layer generator, the baseline).
    g.NAME = "primitives"
    # Number of learned primitives (M).
    g.NUM_PRIMITIVES = 400
    # Transformer-decoder layers, heads, FFN width and dropout of the primitive generator.
    g.NUM_LAYERS = 3
    g.NUM_HEADS = 8
    g.FFN_DIM = 1024
    g.DROPOUT = 0.1
    # Add standard normal noise within the generator, so that one class gives many embeddings.
    g.NOISE = True

    cfg.MODEL.STORE = st = CfgNode()
    # Folder that tools/store_embeddings.py made, for the same weights, data and augmentation. "":
    # a run that wants one makes its own first, in OUTPUT_DIR/embeddings, as the keys below say.
    st.PATH = ""
    # Images that a store is made of, drawn by SEED; 0: the whole training set.
    st.IMAGES = 0
    # How often each image is seen, augmented anew each time.
    st.AUGMENTATIONS = 1
    # Share of unmatched queries to keep, in (0, 1]; the loss weighs them up by its inverse.
    st.NO_OBJECT_SHARE = 0.1
    # Type of the stored numbers: "float16" or "float32".
    st.DTYPE = "float16"
    # Images in one file; a store that was interrupted goes on after its last whole file.
    st.SHARD_IMAGES = 1200

    cfg.MODEL.ZERO_SHOT = z = CfgNode()
    # Where stage 2's embeddings come from: "images" in every step (as published); "stored": from
    # MODEL.STORE; "auto": stored where MODEL.STORE.PATH names a store, from images otherwise.
    z.SOURCE = "auto"
    # Draw embeddings evenly over the classes, which takes a store, rather than by whole images.
    z.CLASS_BALANCED = False
    # Real embeddings of each class that a checkpoint carries, for tools/add_classes.py; at least 1.
    z.MEMORY = 32
    # Bandwidths sigma of the moment-matching kernel, as in exp(-|a - b|^2 / (2 sigma)).
    z.MOMENT_BANDWIDTHS = [2.0, 5.0, 10.0, 20.0, 40.0, 80.0]
    # Weight of the classifier's cross-entropy on the generator's synthetic seen embeddings.
    z.GENERATOR_CLASS_WEIGHT = 0.001
    # Which of its logits: of the "seen" classes, or the "first_156" of all (for comparison: the
    # published code cuts there whatever the data).
    z.GENERATOR_CLASS_LOGITS = "seen"
    # lambda: weight of disentanglement and alignment together; 0 switches both off.
    z.STRUCTURE_WEIGHT = 0.0001
    # w1: alignment, and (w1 / 2 in the paper) the unrelated part; w2: relation scores; w3:
    # reconstruction.
    z.ALIGNMENT_WEIGHT = 1.0
    z.UNRELATED_WEIGHT = 0.5
    z.RELATION_WEIGHT = 1.0
    z.RECONSTRUCTION_WEIGHT = 0.5
    # Embeddings that are disentangled and aligned: "synthetic" (published code) or "both" real and
    # synthetic (paper).
    z.STRUCTURE_SOURCE = "synthetic"
    # Dropout in the disentangling encoders and the decoder.
    z.STRUCTURE_DROPOUT = 0.1
    # Temperature of the Kullback-Leibler terms.
    z.TEMPERATURE = 0.1
    # Unseen classes that the classifier sees synthetic embeddings of in a step; how many of each.
    z.NUM_UNSEEN_CLASSES = 5
    z.NUM_PER_UNSEEN_CLASS = 1
    # Class weights of the classifier's cross-entropy; seen classes weigh 1.
    z.UNSEEN_WEIGHT = 5.0
    z.NO_OBJECT_WEIGHT = 0.1


def _add_solver_keys(cfg: CfgNode) -> None:
    # Optimizer of stage 1 and of stage 2's classifier: "ADAMW" or "SGD".
    cfg.SOLVER.OPTIMIZER = "ADAMW"
    # Learning rate of the backbone relative to BASE_LR.
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1
    # Weight decay of embeddings (queries, levels, positions).
    cfg.SOLVER.WEIGHT_DECAY_EMBED = 0.0
    # Learning rate of stage 2's generator (Adam).
    cfg.SOLVER.GENERATOR_LR = 5e-4
    # The whole gradient's norm is clipped, as in Mask2Former, where clipping is on.
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "full_model"
    # Type of mixed precision where SOLVER.AMP.ENABLED: "float16", "bfloat16", or "auto", which is
    # float16 on a GPU and none (float32) on a CPU.
    cfg.SOLVER.AMP.DTYPE = "auto"
    # Parts that a process's share of a batch is cut into, to run one after another in less memory.
    # Stage 1's losses are means over the parts; stage 2's are those of the whole batch.
    cfg.SOLVER.ACCUMULATION_STEPS = 1
    # Checkpoints of iterations that are kept, the newest; 0 keeps all.
    cfg.SOLVER.CHECKPOINTS_KEPT = 5
    # Steps of a run that may be left out because a loss or its gradient is infinite or NaN; one
    # more stops it.
    cfg.SOLVER.MAX_SKIPPED_STEPS = 0
    # The result that model_best.pth has most of, such as "panoptic_seg/PQ"; "" keeps no best model.
    cfg.TEST.BEST_METRIC = ""


_SEG, _GEN, _ZSL = "MODEL.SEGMENTER.", "MODEL.GENERATOR.", "MODEL.ZERO_SHOT."
_DROPPED = ""
_MOST_VALUES = 100_000

PUBLISHED_KEYS: dict[str, tuple[str, str]] = {
    # published key: (our key or "" where there is none, what else to know)
    "MODEL.MASK_FORMER.HIDDEN_DIM": (_SEG + "HIDDEN_DIM", ""),
    "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES": (_SEG + "NUM_QUERIES", ""),
    "MODEL.MASK_FORMER.NHEADS": (_SEG + "NUM_HEADS", ""),
    "MODEL.MASK_FORMER.DEC_LAYERS": (
        _SEG + "DECODER_LAYERS",
        "the number of layers, one less than the published value, which counts predictions",
    ),
    "MODEL.MASK_FORMER.DIM_FEEDFORWARD": (_SEG + "DECODER_FFN_DIM", ""),
    "MODEL.MASK_FORMER.DROPOUT": (_SEG + "DECODER_DROPOUT", ""),
    "MODEL.MASK_FORMER.SIZE_DIVISIBILITY": (_SEG + "SIZE_DIVISIBILITY", ""),
    "MODEL.MASK_FORMER.CLASS_WEIGHT": (_SEG + "LOSS.CLASS_WEIGHT", ""),
    "MODEL.MASK_FORMER.MASK_WEIGHT": (_SEG + "LOSS.MASK_WEIGHT", ""),
    "MODEL.MASK_FORMER.DICE_WEIGHT": (_SEG + "LOSS.DICE_WEIGHT", ""),
    "MODEL.MASK_FORMER.NO_OBJECT_WEIGHT": (_SEG + "LOSS.NO_OBJECT_WEIGHT", ""),
    "MODEL.MASK_FORMER.DEEP_SUPERVISION": (_SEG + "LOSS.DEEP_SUPERVISION", ""),
    "MODEL.MASK_FORMER.TRAIN_NUM_POINTS": (_SEG + "LOSS.NUM_POINTS", ""),
    "MODEL.MASK_FORMER.OVERSAMPLE_RATIO": (_SEG + "LOSS.OVERSAMPLE_RATIO", ""),
    "MODEL.MASK_FORMER.IMPORTANCE_SAMPLE_RATIO": (_SEG + "LOSS.IMPORTANCE_RATIO", ""),
    "MODEL.MASK_FORMER.PRE_NORM": (_DROPPED, "the decoder is post-norm, as every published model"),
    "MODEL.MASK_FORMER.ENC_LAYERS": (_DROPPED, "it was read by nobody"),
    "MODEL.MASK_FORMER.ENFORCE_INPUT_PROJ": (_DROPPED, "the pixel decoder has HIDDEN_DIM channels"),
    "MODEL.MASK_FORMER.TRANSFORMER_IN_FEATURE": (_DROPPED, "the decoder reads the pixel decoder"),
    "MODEL.MASK_FORMER.TRANSFORMER_DECODER_NAME": (_DROPPED, "there is one decoder"),
    "MODEL.MASK_FORMER.TEST.PANOPTIC_ON": ("MODEL.INFERENCE.PANOPTIC_ON", ""),
    "MODEL.MASK_FORMER.TEST.INSTANCE_ON": ("MODEL.INFERENCE.INSTANCE_ON", ""),
    "MODEL.MASK_FORMER.TEST.SEMANTIC_ON": ("MODEL.INFERENCE.SEMANTIC_ON", ""),
    "MODEL.MASK_FORMER.TEST.OBJECT_MASK_THRESHOLD": ("MODEL.INFERENCE.OBJECT_SCORE_THRESHOLD", ""),
    "MODEL.MASK_FORMER.TEST.OVERLAP_THRESHOLD": ("MODEL.INFERENCE.OVERLAP_THRESHOLD", ""),
    "MODEL.MASK_FORMER.TEST.SEM_SEG_POSTPROCESSING_BEFORE_INFERENCE": (
        _DROPPED,
        "masks are resized to the image before inference for panoptic and instance results",
    ),
    "MODEL.MASK_FORMER.TRANS_NUM_LAYER": (_GEN + "NUM_LAYERS", ""),
    "MODEL.MASK_FORMER.TRANS_MEMORY_NUM_QUERY": (_GEN + "NUM_PRIMITIVES", ""),
    "MODEL.MASK_FORMER.TRANS_DROP_RATE": (_GEN + "DROPOUT", ""),
    "MODEL.MASK_FORMER.NOISE": (_GEN + "NOISE", ""),
    "MODEL.MASK_FORMER.NUM_GENERATE": (_ZSL + "NUM_PER_UNSEEN_CLASS", ""),
    "MODEL.MASK_FORMER.NUM_CHOOSE": (_ZSL + "NUM_UNSEEN_CLASSES", ""),
    "MODEL.MASK_FORMER.CLASS_ECO": (_ZSL + "UNSEEN_WEIGHT", ""),
    "MODEL.MASK_FORMER.STRUCTURE_WEIGHT": (_ZSL + "STRUCTURE_WEIGHT", ""),
    "MODEL.MASK_FORMER.DROP_OUT_ED": (_ZSL + "STRUCTURE_DROPOUT", ""),
    "MODEL.MASK_FORMER.WEIGHT_1": (
        _ZSL + "ALIGNMENT_WEIGHT",
        f"and set {_ZSL}UNRELATED_WEIGHT to half of it",
    ),
    "MODEL.MASK_FORMER.WEIGHT_2": (_ZSL + "RELATION_WEIGHT", ""),
    "MODEL.MASK_FORMER.WEIGHT_3": (_ZSL + "RECONSTRUCTION_WEIGHT", ""),
    "MODEL.MASK_FORMER.VEC_PATH": ("MODEL.CLASS_VECTORS", ""),
    "MODEL.SEM_SEG_HEAD.NAME": (_DROPPED, "there is one head"),
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES": (_DROPPED, "the class split of the data set counts"),
    "MODEL.SEM_SEG_HEAD.CONVS_DIM": (_SEG + "HIDDEN_DIM", ""),
    "MODEL.SEM_SEG_HEAD.MASK_DIM": (_SEG + "MASK_DIM", ""),
    "MODEL.SEM_SEG_HEAD.NORM": (_SEG + "NORM", ""),
    "MODEL.SEM_SEG_HEAD.IN_FEATURES": (_SEG + "FEATURES", ""),
    "MODEL.SEM_SEG_HEAD.IGNORE_VALUE": (_DROPPED, "the data set says which label is ignored"),
    "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT": (_DROPPED, "the weights are in MODEL.SEGMENTER.LOSS"),
    "MODEL.SEM_SEG_HEAD.COMMON_STRIDE": (_DROPPED, "the finest feature map says it"),
    "MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS": (_SEG + "ENCODER_LAYERS", ""),
    "MODEL.SEM_SEG_HEAD.PIXEL_DECODER_NAME": (_DROPPED, "there is one pixel decoder"),
    "MODEL.SEM_SEG_HEAD.DEFORMABLE_TRANSFORMER_ENCODER_IN_FEATURES": (
        _SEG + "ENCODER_FEATURES",
        "",
    ),
    "MODEL.SEM_SEG_HEAD.DEFORMABLE_TRANSFORMER_ENCODER_N_POINTS": (_SEG + "ENCODER_POINTS", ""),
    "MODEL.SEM_SEG_HEAD.DEFORMABLE_TRANSFORMER_ENCODER_N_HEADS": (_SEG + "ENCODER_HEADS", ""),
    "MODEL.SWIN.PRETRAIN_IMG_SIZE": (_DROPPED, "there are no absolute positions"),
    "MODEL.SWIN.APE": (_DROPPED, "there are no absolute positions, as in every published model"),
    "MODEL.SWIN.QK_SCALE": (_DROPPED, "the scale is 1 / sqrt(head width)"),
    "MODEL.SWIN.DROP_RATE": (_DROPPED, "no published model uses it"),
    "MODEL.SWIN.ATTN_DROP_RATE": (_DROPPED, "no published model uses it"),
    "MODEL.SWIN.USE_CHECKPOINT": (_DROPPED, "activations are not recomputed"),
    "INPUT.DATASET_MAPPER_NAME": ("INPUT.AUGMENTATION", "the task comes with the data set"),
    "INPUT.SIZE_DIVISIBILITY": (_SEG + "SIZE_DIVISIBILITY", ""),
    "INPUT.COLOR_AUG_SSD": (_DROPPED, "see INPUT.AUGMENTATION"),
    "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA": (_DROPPED, "see INPUT.AUGMENTATION"),
}


def load_config(config_file: str, overrides: Sequence[str] = ()) -> CfgNode:
    """A full configuration from a YAML file, its ``_BASE_`` files, and KEY VALUE overrides.

    Args:
        config_file: path of a YAML file; tags that would run code are refused.
        overrides: alternating keys and values, as on the command line.

    Returns:
        the configuration, not frozen.

    Raises:
        InputError: missing or malformed file; an unknown, misspelt or renamed key; a value of the
            wrong type. The message names file, key and remedy.
    """
    cfg = get_cfg()
    add_pading_config(cfg)
    for path, settings in _read_with_bases(config_file):
        for key, value in _leaves(settings):
            _set(cfg, key, value, source=path)
    late = next((word for word in overrides if word.startswith("--")), None)
    if late is not None:
        raise InputError(
            f"command line: {late} must stand before the KEY VALUE pairs; move it there"
        )
    if len(overrides) % 2:
        raise InputError(
            f"command line: overrides are KEY VALUE pairs, but {overrides[-1]!r} stands alone; "
            "add its value"
        )
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        _set(cfg, key, text, source="command line")
    return cfg


def _read_with_bases(path: str, seen: tuple[str, ...] = ()) -> list[tuple[str, dict[str, Any]]]:
    """The files to merge, base first; one that several files build on counts once, at its first."""
    real = os.path.realpath(path)
    if real in seen:
        raise InputError(f"{path}: its _BASE_ leads back to itself; remove the circle")
    try:
        settings = read_yaml(path)
    except OSError as error:
        where = f" (named as _BASE_ in {seen[-1]})" if seen else ""
        raise InputError(
            f"{path}: cannot read this configuration{where}: {error.strerror}; "
            "give the path of a file that there is"
        ) from error
    if not isinstance(settings, dict):
        raise InputError(f"{path}: expected a YAML mapping of keys to values")
    bases = settings.pop("_BASE_", [])
    chain: dict[str, dict[str, Any]] = {}
    for base in bases if isinstance(bases, list) else [bases]:
        base_path = os.path.normpath(
            os.path.join(os.path.dirname(path), os.path.expanduser(str(base)))
        )
        for name, content in _read_with_bases(base_path, (*seen, real)):
            chain.setdefault(name, content)
    return [*chain.items(), (path, settings)]


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """The content of a plain YAML (or JSON) file: no tags that run code, no key twice.

    Raises:
        OSError: it cannot be read.
        InputError: it is not such a file.
    """
    with open(path, encoding="utf-8") as file:
        try:
            content = _PlainLoader(file).get_single_data()
            _check_extent(content)
            return content
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: not a plain YAML file: {error}; correct it there") from error


def _check_extent(content: Any) -> None:
    """Refuse what aliases have put into itself, or blown up."""
    waiting, met = [content], 0
    while waiting:
        value = waiting.pop()
        met += 1
        if met > _MOST_VALUES:
            raise ValueError(f"it has more than {_MOST_VALUES} values, or no end")
        if isinstance(value, (dict, list)):
            waiting.extend(value.values() if isinstance(value, dict) else value)


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader, which runs no code, without its silent choice of the last of equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        met: set[str] = set()
        for key in keys:
            if key.value in met:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} occurs twice", key.start_mark
                )
            met.add(key.value)
        return super().construct_mapping(node, deep)


def _leaves(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _set(cfg: CfgNode, key: str, value: Any, source: str) -> None:
    if key in PUBLISHED_KEYS:
        new, note = PUBLISHED_KEYS[key]
        remedy = f"use {new}" if new else "remove it"
        raise InputError(
            f"{source}: {key} is a key of the published code; {remedy}"
            + (f" ({note})" * bool(note))
        )
    *sections, name = key.split(".")
    node = cfg
    for section in sections:
        node = node.get(section) if isinstance(node, CfgNode) else None
    if not isinstance(node, CfgNode) or name not in node:
        close = difflib.get_close_matches(key, [k for k, _ in _leaves(cfg)], n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"{source}: there is no configuration key {key}{hint}")
    if isinstance(node[name], CfgNode):
        raise InputError(
            f"{source}: {key} is a section; set one of its keys, such as "
            f"{key}.{next(iter(node[name]))}"
        )
    if isinstance(value, str):
        literal = _literal(value)
        if isinstance(literal, str) or not isinstance(node[name], str):
            value = literal
    if value is None and node[name] is not None:
        raise InputError(f"{source}: {key} has no value; give one such as {node[name]!r}")
    if isinstance(node[name], float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # yacs decodes strings (hence repr) and checks the type against the present value.
    try:
        cfg.merge_from_list([key, repr(value) if isinstance(value, str) else value])
    except (ValueError, AssertionError) as error:
        raise InputError(
            f"{source}: {key} is {value!r}, but a {type(node[name]).__name__} such as "
            f"{node[name]!r} is expected"
        ) from error
