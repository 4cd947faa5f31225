"""Keys of models: system, segmenter, and how results are made."""

from typing import Any

import torch

from pading.config.key import (
    ANY,
    CHANNELS,
    COUNT,
    DROPOUT,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    STATISTICS,
    TEXT,
    THEIRS,
    Key,
    Rule,
    is_number,
    list_of,
    one_of,
)


def _are_ranges(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) % 3:
        return False
    parts = zip(value[::3], value[1::3], value[2::3], strict=True)
    return all(
        isinstance(name, str) and is_number(low) and is_number(high) and low <= 0 <= high
        for name, low, high in parts
    )


MODEL_KEYS = (
    Key(
        "MODEL.META_ARCHITECTURE",
        "Mask2Former",
        ANY,
        "The system: a name of pading.list_models(), or of a class that keeps the contract.",
    ),
    Key(
        "MODEL.DEVICE",
        "cuda" if torch.cuda.is_available() else "cpu",
        ANY,
        "Detectron2's own default asks for CUDA wherever it runs.",
    ),
    Key(
        "MODEL.CLASS_VECTORS",
        "coco_minilm",
        TEXT,
        'Class vectors: a set that ships with pading ("coco_minilm", "shapes_minilm") or a file.',
    ),
    Key("MODEL.PIXEL_MEAN", THEIRS, CHANNELS, "Subtracted from the pixels, per channel."),
    Key("MODEL.PIXEL_STD", THEIRS, STATISTICS, "What the pixels are divided by then, per channel."),
    Key(
        "MODEL.SEGMENTER.CLASSES",
        "seen",
        one_of("seen", "all"),
        'Outputs of the class head beside no-object: "seen" classes of the split (stage 1) or '
        '"all" (stage 2).',
    ),
    Key(
        "MODEL.SEGMENTER.HIDDEN_DIM",
        256,
        COUNT,
        "Width C of queries, class embeddings and pixel decoder.",
    ),
    Key(
        "MODEL.SEGMENTER.MASK_DIM",
        256,
        COUNT,
        "Width of the mask features and of a query's mask embedding.",
    ),
    Key("MODEL.SEGMENTER.NUM_QUERIES", 100, COUNT, "Object queries per image (Q)."),
    Key("MODEL.SEGMENTER.NUM_HEADS", 8, COUNT, "Attention heads in the transformer decoder."),
    Key(
        "MODEL.SEGMENTER.DECODER_LAYERS",
        9,
        COUNT,
        "Decoder layers; each adds one auxiliary prediction, and there is one before the first.",
    ),
    Key(
        "MODEL.SEGMENTER.DECODER_FFN_DIM",
        2048,
        COUNT,
        "Width of the decoder's feed-forward layers.",
    ),
    Key("MODEL.SEGMENTER.DECODER_DROPOUT", 0.0, DROPOUT, "Dropout in the decoder."),
    Key(
        "MODEL.SEGMENTER.MASK_POOLING",
        False,
        ANY,
        "Add to each query's class embedding the mean of the mask features in its mask.",
    ),
    Key(
        "MODEL.SEGMENTER.ENCODER_LAYERS",
        6,
        COUNT,
        "Deformable-attention layers of the pixel decoder's encoder.",
    ),
    Key("MODEL.SEGMENTER.ENCODER_HEADS", 8, COUNT, "Attention heads in the encoder."),
    Key("MODEL.SEGMENTER.ENCODER_POINTS", 4, COUNT, "Points that a head looks at in each map."),
    Key(
        "MODEL.SEGMENTER.ENCODER_FFN_DIM",
        1024,
        COUNT,
        "Width of the encoder's feed-forward layers.",
    ),
    Key("MODEL.SEGMENTER.ENCODER_DROPOUT", 0.0, DROPOUT, "Dropout in the encoder."),
    Key(
        "MODEL.SEGMENTER.ENCODER_FEATURES",
        ["res3", "res4", "res5"],
        list_of(TEXT),
        "Backbone outputs that the encoder attends over: all but the finest.",
    ),
    Key(
        "MODEL.SEGMENTER.FEATURES",
        ["res2", "res3", "res4", "res5"],
        list_of(TEXT),
        "Backbone outputs that are used; the finest makes the mask features.",
    ),
    Key(
        "MODEL.SEGMENTER.NORM",
        "GN",
        one_of("GN", ""),
        'Normalisation of the pixel decoder\'s convolutions: "GN", or "" for none.',
    ),
    Key(
        "MODEL.SEGMENTER.SIZE_DIVISIBILITY",
        32,
        COUNT,
        "Images are padded to multiples of this many pixels.",
    ),
    Key(
        "MODEL.SEGMENTER.LOSS.CLASS_WEIGHT",
        2.0,
        NOT_NEGATIVE,
        "Weight of the class term, in the loss and in the matching.",
    ),
    Key(
        "MODEL.SEGMENTER.LOSS.MASK_WEIGHT",
        5.0,
        NOT_NEGATIVE,
        "Weight of the mask term, in the loss and in the matching.",
    ),
    Key(
        "MODEL.SEGMENTER.LOSS.DICE_WEIGHT",
        5.0,
        NOT_NEGATIVE,
        "Weight of the dice term, in the loss and in the matching.",
    ),
    Key(
        "MODEL.SEGMENTER.LOSS.NO_OBJECT_WEIGHT",
        0.1,
        NOT_NEGATIVE,
        "Weight of the no-object class in the cross-entropy.",
    ),
    Key(
        "MODEL.SEGMENTER.LOSS.DEEP_SUPERVISION",
        True,
        ANY,
        "Supervise the predictions of every decoder layer rather than of the last alone.",
    ),
    Key(
        "MODEL.SEGMENTER.LOSS.SEGMENT_WEIGHT",
        0.0,
        NOT_NEGATIVE,
        "Weight of a cross-entropy of the true segments' classes, told by the mask features in "
        "their true masks (needs MASK_POOLING); 0: none. It teaches a small network from nothing "
        "to tell classes before it finds masks.",
    ),
    Key("MODEL.SEGMENTER.LOSS.NUM_POINTS", 12544, COUNT, "Points sampled per mask."),
    Key("MODEL.SEGMENTER.LOSS.OVERSAMPLE_RATIO", 3.0, COUNT, "Candidates drawn per point."),
    Key(
        "MODEL.SEGMENTER.LOSS.IMPORTANCE_RATIO",
        0.75,
        SHARE,
        "Share of the points that are chosen by uncertainty.",
    ),
    Key("MODEL.INFERENCE.PANOPTIC_ON", True, ANY, "Give panoptic results."),
    Key("MODEL.INFERENCE.INSTANCE_ON", False, ANY, "Give instances."),
    Key("MODEL.INFERENCE.SEMANTIC_ON", False, ANY, "Give semantic maps."),
    Key(
        "MODEL.INFERENCE.DTYPE",
        "float32",
        one_of("float32", "bfloat16", "float16", "int8"),
        'Type of mixed precision: "float32" (none), "bfloat16", "float16", which is for GPUs '
        'alone (on a CPU it takes a hundred times as long), or "int8", which is for CPUs alone.',
    ),
    Key(
        "MODEL.INFERENCE.INT8_RANGES",
        [],
        Rule(_are_ranges, "a list of a module's name and two numbers around 0, again and again"),
        "Of the layers that int8 computes in 8 bits: name, lowest and highest number of the input, "
        "in turn. pading quantize measures them.",
    ),
    Key(
        "MODEL.INFERENCE.INSTANCE_SETTING",
        "gzsi",
        one_of("gzsi", "zsi"),
        'Instances: "gzsi", generalised: all classes are candidates and scored; "zsi": the '
        "unseen ones alone.",
    ),
    Key(
        "MODEL.INFERENCE.OBJECT_SCORE_THRESHOLD",
        0.8,
        SHARE,
        "Panoptic: a query takes part if its best class scores above this.",
    ),
    Key(
        "MODEL.INFERENCE.OVERLAP_THRESHOLD",
        0.8,
        SHARE,
        "Panoptic: a segment stays if it keeps at least this share of its own area.",
    ),
    Key(
        "MODEL.INFERENCE.SEEN_BIAS",
        0.0,
        ANY,
        "Taken off the scores of seen classes, in all systems and tasks; below 0 favours them. "
        "pading evaluate --choose-dial sets it.",
    ),
    Key(
        "MODEL.INFERENCE.WINDOW",
        [],
        list_of(COUNT, 0),
        "Per-pixel systems: height and width of sliding windows; []: the whole image at once.",
    ),
    Key(
        "MODEL.INFERENCE.STRIDE",
        [],
        list_of(COUNT, 0),
        "Per-pixel systems: stride of the windows, down and across; []: that of the window.",
    ),
    Key(
        "MODEL.INFERENCE.WINDOW_BATCH",
        4,
        COUNT,
        "Per-pixel systems: windows that go through the network together, of one image or of "
        "several; fewer need less memory.",
    ),
    Key(
        "MODEL.INFERENCE.SCALES",
        [1.0],
        list_of(POSITIVE),
        "Per-pixel systems: sizes at which an image is looked at, relative to its own.",
    ),
    Key(
        "MODEL.INFERENCE.FLIP",
        False,
        ANY,
        "Per-pixel systems: look at the mirrored image as well.",
    ),
    Key(
        "MODEL.INFERENCE.MEMORY",
        512,
        COUNT,
        "Per-pixel systems: MiB that the maps of all classes may take at full size. Beyond it they "
        "are made some classes at a time, and the best class is given without the scores of all.",
    ),
    Key(
        "MODEL.INFERENCE.SECOND_OPINION.WEIGHTS",
        "",
        ANY,
        "Systems of segments: checkpoint of a per-pixel system of the same classes, whose class "
        'scores are mixed with their own; "": none.',
    ),
    Key(
        "MODEL.INFERENCE.SECOND_OPINION.SEEN_WEIGHT",
        0.4,
        SHARE,
        "Weight of the second opinion in the geometric mean, for seen classes.",
    ),
    Key(
        "MODEL.INFERENCE.SECOND_OPINION.UNSEEN_WEIGHT",
        0.8,
        SHARE,
        "Likewise, for unseen classes.",
    ),
)
