"""Keys of MODEL.LSEG, and of the backbone of tokens that comes with it."""

from pading.config.key import ANY, COUNT, NOT_NEGATIVE, POSITIVE, TEXT, Key, Rule, list_of, one_of

_FOUR = Rule(lambda v: list_of(COUNT, 4).holds(v) and len(v) == 4, "4 numbers, one per scale")
_PAIRS = Rule(
    lambda v: isinstance(v, (list, tuple)) and len(v) % 2 == 0,
    "a list of names and values in turn",
)

LSEG_KEYS = (
    Key(
        "MODEL.LSEG.FEATURES",
        ["res2", "res3", "res4", "res5"],
        list_of(TEXT, 2),
        "Backbone outputs that are fused; a TokenBackbone gives its own.",
    ),
    Key("MODEL.LSEG.CHANNELS", 256, COUNT, "Width C of the fusion."),
    Key("MODEL.LSEG.TEMPERATURE", 0.07, POSITIVE, "Cosines are divided by it."),
    Key(
        "MODEL.LSEG.LEARN_TEMPERATURE",
        False,
        ANY,
        "Train the temperature; published: a constant.",
    ),
    Key(
        "MODEL.LSEG.BLOCK",
        "none",
        one_of("none", "depthwise", "bottleneck"),
        "Spatial regularisation of the label maps.",
    ),
    Key("MODEL.LSEG.BLOCK_DEPTH", 1, COUNT, "How often the block is applied."),
    Key(
        "MODEL.LSEG.BLOCK_ACTIVATION",
        "lrelu",
        one_of("lrelu", "relu", "tanh"),
        "What stands between two applications.",
    ),
    Key(
        "MODEL.LSEG.BLOCK_SHARED",
        True,
        ANY,
        "All applications share one kernel, as published, or have one each.",
    ),
    Key(
        "MODEL.LSEG.BASE_SIZE",
        0,
        NOT_NEGATIVE,
        "Views as in the published evaluation: MODEL.INFERENCE.SCALES of this length of the longer "
        "side, square windows at MODEL.INFERENCE.STRIDE, padded with black. 0: as everywhere.",
    ),
    Key(
        "MODEL.LSEG.PAIRS",
        False,
        ANY,
        'Zero-shot by folds: an example asks for one class in one image, against "others", which '
        "the split must have (DATASETS.SPLIT pascal_5i_0). Off: all classes compete.",
    ),
    Key(
        "MODEL.LSEG.LEAVE_OUT_UNSEEN",
        False,
        ANY,
        "With PAIRS: train without images that show classes of the tested fold. The protocol keeps "
        'them, with these classes as "others".',
    ),
    Key(
        "MODEL.TOKENS.NAME",
        "vit_large_patch16_384",
        TEXT,
        "Vision transformer of timm that a TokenBackbone (MODEL.BACKBONE.NAME) takes tokens of.",
    ),
    Key(
        "MODEL.TOKENS.OPTIONS",
        [],
        _PAIRS,
        "What else timm.create_model is given: names and values in turn.",
    ),
    Key(
        "MODEL.TOKENS.TAPS",
        [5, 11, 17, 23],
        list_of(NOT_NEGATIVE, 4),
        "Blocks, from 0, after which the tokens are taken.",
    ),
    Key(
        "MODEL.TOKENS.POSITION_RESIZE",
        "dpt",
        one_of("dpt", "timm"),
        'How learned positions fit other image sizes: "dpt" (bilinear) or "timm" (bicubic).',
    ),
    Key(
        "MODEL.TOKENS.CHANNELS",
        [256, 512, 1024, 1024],
        _FOUR,
        "Channels of the maps that are made of the tokens, the finest first.",
    ),
    Key(
        "MODEL.TOKENS.READOUT",
        "project",
        one_of("project", "ignore", "add"),
        "What becomes of the class token.",
    ),
)
