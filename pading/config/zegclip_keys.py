"""Keys of MODEL.CLIP and MODEL.ZEGCLIP."""

from pading.config.key import ANY, CHANCE, COUNT, DROPOUT, NOT_NEGATIVE, TEXT, Key, Rule, one_of

_PAIRS = Rule(
    lambda v: isinstance(v, (list, tuple)) and len(v) % 2 == 0,
    "a list of names and values in turn",
)

ZEGCLIP_KEYS = (
    Key(
        "MODEL.CLIP.NAME",
        "ViT-B-16-quickgelu",
        TEXT,
        "open_clip's name of CLIP's image tower (MODEL.BACKBONE.NAME build_clip_image_tower). "
        "OpenAI's weights were trained with QuickGELU.",
    ),
    Key(
        "MODEL.CLIP.OPTIONS",
        [],
        _PAIRS,
        "Sizes that differ from those of NAME: names and values in turn, such as [layers, 4].",
    ),
    Key(
        "MODEL.CLIP.IMAGE_SIZE",
        0,
        NOT_NEGATIVE,
        "Side of the images that the table of positions is kept for; CLIP's is resized to it when "
        "it is loaded. 0: that of NAME.",
    ),
    Key(
        "MODEL.ZEGCLIP.SETTING",
        "inductive",
        one_of("inductive", "transductive", "supervised"),
        '"inductive": seen classes alone; "transductive": self-training of an inductive run; '
        '"supervised": all classes are annotated.',
    ),
    Key(
        "MODEL.ZEGCLIP.UNSEEN_PIXELS",
        "annotated",
        one_of("annotated", "unlabelled"),
        'Transductive: where unseen classes are is known ("annotated", the published protocol), or '
        'they are among the unlabelled pixels ("unlabelled").',
    ),
    Key("MODEL.ZEGCLIP.PROMPTS", 10, NOT_NEGATIVE, "Prompts of a layer; 0: none."),
    Key(
        "MODEL.ZEGCLIP.PROMPT_DEPTH",
        11,
        NOT_NEGATIVE,
        "Layers beyond the first that have prompts of their own; 0: shallow prompts.",
    ),
    Key("MODEL.ZEGCLIP.PROMPT_DROPOUT", 0.1, DROPOUT, "Dropout of prompts."),
    Key(
        "MODEL.ZEGCLIP.TUNE",
        "prompts",
        one_of("prompts", "all"),
        "What of the tower is trained: its prompts, or all of it.",
    ),
    Key(
        "MODEL.ZEGCLIP.CLASS_EMBEDDING",
        "twice",
        one_of("twice", "once"),
        'How often the class embedding is added to its position: "twice", with which the published '
        'weights were trained, or "once", as in CLIP.',
    ),
    Key(
        "MODEL.ZEGCLIP.DESCRIPTOR",
        True,
        ANY,
        "Queries are made of texts and of their products with the image's vector; off: of texts.",
    ),
    Key("MODEL.ZEGCLIP.DECODER_LAYERS", 3, COUNT, "Layers of the decoder."),
    Key("MODEL.ZEGCLIP.DECODER_HEADS", 8, COUNT, "Its attention heads."),
    Key("MODEL.ZEGCLIP.DECODER_FFN_DIM", 2048, COUNT, "Width of its feed-forward networks."),
    Key("MODEL.ZEGCLIP.DROPOUT", 0.1, DROPOUT, "Its dropout."),
    Key(
        "MODEL.ZEGCLIP.UNIT_GAIN",
        False,
        ANY,
        "Scale the decoder's initial weights to the vectors that they multiply, which narrow "
        "models need; published: PyTorch's own.",
    ),
    Key(
        "MODEL.ZEGCLIP.PRIOR",
        0.5,
        CHANCE,
        "Chance of a class at a pixel that training starts from (Lin et al., RetinaNet, ICCV 2017, "
        "section 4.1): most classes are absent, and a long training learns it. Published: 0.5.",
    ),
    Key("MODEL.ZEGCLIP.FOCAL_WEIGHT", 100.0, NOT_NEGATIVE, "Weight of the focal loss."),
    Key("MODEL.ZEGCLIP.DICE_WEIGHT", 1.0, NOT_NEGATIVE, "Weight of the dice loss."),
    Key(
        "MODEL.ZEGCLIP.VOID",
        "negative",
        one_of("negative", "ignored"),
        'Unlabelled pixels are negatives of every class, as published ("negative"), or do not '
        'count ("ignored").',
    ),
)
