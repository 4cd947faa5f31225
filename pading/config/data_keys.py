"""Keys of data: what is read, and how images are prepared."""

from pading.config.key import (
    ANY,
    COUNT,
    KEPT_SHARE,
    NEVER,
    NOT_NEGATIVE,
    POSITIVE,
    TEXT,
    THEIRS,
    Key,
    list_of,
    one_of,
)

DATA_KEYS = (
    Key("DATASETS.TRAIN", THEIRS, list_of(TEXT, 0), "Data sets to train on, by name."),
    Key("DATASETS.TEST", THEIRS, list_of(TEXT, 0), "Data sets to score, by name."),
    Key(
        "DATASETS.FILES",
        (),
        list_of(TEXT, 0),
        "YAML or JSON files, each describing one of the user's own data sets (datasets/README.md).",
    ),
    Key(
        "DATASETS.SPLIT",
        "",
        ANY,
        "Class split of the data sets of TRAIN and TEST instead of their own: a shipped one "
        'or a file such as tools/add_classes.py writes; "": their own.',
    ),
    Key(
        "DATASETS.OWN_LABELS",
        False,
        ANY,
        "The data sets have class splits of their own. The model learns the classes of all of "
        "TRAIN, those of one name as one, an image among the labels of its data set alone; each "
        "of TEST is scored among its own.",
    ),
    Key(
        "DATALOADER.NUM_WORKERS",
        THEIRS,
        NOT_NEGATIVE,
        "Processes that load images for each process; 0: it does so itself.",
    ),
    Key(
        "INPUT.CROP.ENABLED",
        THEIRS,
        NEVER,
        "Detectron2's own cropping, which INPUT.AUGMENTATION replaces.",
    ),
    Key(
        "INPUT.MIN_SIZE_TEST",
        THEIRS,
        NOT_NEGATIVE,
        "Shorter side of an image at test; 0 keeps its size.",
    ),
    Key("INPUT.MAX_SIZE_TEST", THEIRS, COUNT, "Longer side of an image at test, at most."),
    Key(
        "INPUT.RANDOM_FLIP",
        THEIRS,
        one_of("horizontal", "vertical", "none"),
        "Direction of the flip.",
    ),
    Key(
        "INPUT.AUGMENTATION",
        "large_scale_jitter",
        one_of("large_scale_jitter", "semantic", "flip", "none"),
        'Training augmentation: "large_scale_jitter" (random scale, fixed crop, flip), '
        '"semantic" (BASE_SIZE and what follows), "flip", "none".',
    ),
    Key(
        "INPUT.IMAGE_SIZE",
        1024,
        COUNT,
        "Side of the square crop of large-scale jitter, in pixels.",
    ),
    Key("INPUT.MIN_SCALE", 0.1, POSITIVE, "Smallest random scale, relative to IMAGE_SIZE."),
    Key("INPUT.MAX_SCALE", 2.0, POSITIVE, "Largest random scale, relative to IMAGE_SIZE."),
    Key(
        "INPUT.FORMAT",
        "RGB",
        one_of("RGB", "BGR"),
        "The usual order of ImageNet weights; Detectron2's own default is BGR.",
    ),
    Key(
        "INPUT.BASE_SIZE",
        (2048, 512),
        list_of(COUNT, 2),
        "Semantic: what the longer and the shorter side of an image may be at scale 1; "
        "equal: the longer alone.",
    ),
    Key(
        "INPUT.CROP_SIZE",
        (512, 512),
        list_of(COUNT, 2),
        "Semantic: height and width of the crop; what is smaller is padded.",
    ),
    Key(
        "INPUT.MAX_CLASS_SHARE",
        0.75,
        KEPT_SHARE,
        "Semantic: a crop is drawn anew while one class has more of its labelled pixels; 1: never.",
    ),
    Key(
        "INPUT.PHOTOMETRIC_DISTORTION",
        True,
        ANY,
        "Semantic: random brightness, contrast, saturation and hue.",
    ),
)
