"""Keys of backbones."""

from pading.config.key import ANY, COUNT, DROPOUT, POSITIVE, TEXT, THEIRS, Key, list_of, one_of

BACKBONE_KEYS = (
    Key("MODEL.RESNETS.DEPTH", THEIRS, one_of(18, 34, 50, 101, 152), "Depth of the ResNet."),
    Key(
        "MODEL.RESNETS.NORM",
        THEIRS,
        one_of(
            "", "BN", "SyncBN", "FrozenBN", "GN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N", "LN"
        ),
        "Its normalisation.",
    ),
    Key(
        "MODEL.RESNETS.OUT_FEATURES",
        THEIRS,
        list_of(TEXT),
        "Stages of the ResNet that are given out.",
    ),
    Key("MODEL.RESNETS.NUM_GROUPS", THEIRS, COUNT, "Groups of its 3 x 3 convolutions."),
    Key("MODEL.RESNETS.WIDTH_PER_GROUP", THEIRS, COUNT, "Width of each group in the first stage."),
    Key("MODEL.RESNETS.RES2_OUT_CHANNELS", THEIRS, COUNT, "Channels of its first stage."),
    Key("MODEL.RESNETS.STEM_OUT_CHANNELS", THEIRS, COUNT, "Channels of its stem."),
    Key(
        "MODEL.TIMM.NAME",
        "resnet50",
        TEXT,
        "Name of a timm model (MODEL.BACKBONE.NAME build_timm_backbone); its weights go in as "
        "MODEL.WEIGHTS, its statistics are those of timm's record where MODEL.PIXEL_MEAN is "
        "not set.",
    ),
    Key(
        "MODEL.SWIN.PATCH_SIZE",
        4,
        COUNT,
        "Swin Transformer (Liu et al., ICCV 2021; the defaults are Swin-T): side of a patch.",
    ),
    Key(
        "MODEL.SWIN.EMBED_DIM",
        96,
        COUNT,
        "Width of the first stage; each further one doubles it.",
    ),
    Key("MODEL.SWIN.DEPTHS", [2, 2, 6, 2], list_of(COUNT), "Blocks of each stage."),
    Key("MODEL.SWIN.NUM_HEADS", [3, 6, 12, 24], list_of(COUNT), "Attention heads of each stage."),
    Key("MODEL.SWIN.WINDOW_SIZE", 7, COUNT, "Side of the attention's windows, in patches."),
    Key(
        "MODEL.SWIN.MLP_RATIO",
        4.0,
        POSITIVE,
        "Width of the feed-forward layers, relative to the stage's.",
    ),
    Key("MODEL.SWIN.QKV_BIAS", True, ANY, "Queries, keys and values have a bias."),
    Key(
        "MODEL.SWIN.DROP_PATH_RATE",
        0.3,
        DROPOUT,
        "Stochastic depth of the last block; earlier ones have less.",
    ),
    Key("MODEL.SWIN.PATCH_NORM", True, ANY, "Normalise the patches."),
    Key(
        "MODEL.SWIN.OUT_FEATURES",
        ["res2", "res3", "res4", "res5"],
        list_of(TEXT),
        "Stages that are given out.",
    ),
    Key(
        "MODEL.CONVNET.WIDTHS",
        [32, 64, 128, 256],
        list_of(COUNT),
        "Channels of the stages of a PlainConvNet (MODEL.BACKBONE.NAME), which gives res1 (stride "
        "2), res2, ...",
    ),
    Key("MODEL.CONVNET.DEPTH", 2, COUNT, "Convolutions of each of its stages."),
)
