"""Keys of stage 2: generator, store of embeddings, losses."""

from pading.config.key import (
    ANY,
    COUNT,
    DROPOUT,
    KEPT_SHARE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    TEXT,
    Key,
    list_of,
    one_of,
)

ZERO_SHOT_KEYS = (
    Key(
        "MODEL.GENERATOR.NAME",
        "primitives",
        one_of("primitives", "mlp", "ridge"),
        '"primitives" (a transformer over learned primitives), "mlp" (a plain two-layer '
        'generator, the baseline) or "ridge" (ridge regression from class vectors to mean '
        "embeddings, which has no rate; losses that train a generator do not apply).",
    ),
    Key(
        "MODEL.GENERATOR.RIDGE",
        0.1,
        POSITIVE,
        'Generator "ridge": its penalty, in mean squared lengths of centred class vectors.',
    ),
    Key(
        "MODEL.GENERATOR.RIDGE_ERROR",
        0.5,
        NOT_NEGATIVE,
        "How far its embeddings stray with the error of the regression, beside its errors on seen "
        "classes that it leaves out in turn; 0: not at all.",
    ),
    Key("MODEL.GENERATOR.NUM_PRIMITIVES", 400, COUNT, "Number of learned primitives (M)."),
    Key(
        "MODEL.GENERATOR.NUM_LAYERS",
        3,
        COUNT,
        "Transformer-decoder layers of the primitive generator.",
    ),
    Key("MODEL.GENERATOR.NUM_HEADS", 8, COUNT, "Its attention heads."),
    Key(
        "MODEL.GENERATOR.FFN_DIM",
        1024,
        COUNT,
        "Width of its feed-forward layers, and of the plain generator.",
    ),
    Key("MODEL.GENERATOR.DROPOUT", 0.1, DROPOUT, "Its dropout."),
    Key(
        "MODEL.GENERATOR.TOKEN_NORM",
        False,
        ANY,
        "Plain generator: normalise the semantic tokens to the size of the noise, which covers "
        "them at first otherwise.",
    ),
    Key(
        "MODEL.GENERATOR.NOISE",
        True,
        ANY,
        "Add standard normal noise within the generator, so that one class gives many embeddings.",
    ),
    Key(
        "MODEL.STORE.PATH",
        "",
        ANY,
        "Folder that tools/store_embeddings.py made, for the same weights, data and "
        'augmentation. "": a run that wants one makes its own first, in '
        "OUTPUT_DIR/embeddings, as the keys below say.",
    ),
    Key(
        "MODEL.STORE.IMAGES",
        0,
        NOT_NEGATIVE,
        "Images that a store is made of, drawn by SEED; 0: the whole training set.",
    ),
    Key(
        "MODEL.STORE.AUGMENTATIONS",
        1,
        COUNT,
        "How often each image is seen, augmented anew each time.",
    ),
    Key(
        "MODEL.STORE.NO_OBJECT_SHARE",
        0.1,
        KEPT_SHARE,
        "Share of unmatched queries to keep, in (0, 1]; the loss weighs them up by its inverse.",
    ),
    Key(
        "MODEL.STORE.DTYPE",
        "float16",
        one_of("float16", "float32"),
        'Type of the stored numbers: "float16" or "float32".',
    ),
    Key(
        "MODEL.STORE.SHARD_IMAGES",
        1200,
        COUNT,
        "Images in one file; a store that was interrupted goes on after its last whole file.",
    ),
    Key(
        "MODEL.ZERO_SHOT.SOURCE",
        "auto",
        one_of("auto", "images", "stored"),
        'Where stage 2\'s embeddings come from: "images" in every step (as published); '
        '"stored": from MODEL.STORE; "auto": stored where MODEL.STORE.PATH names a store, '
        "from images otherwise.",
    ),
    Key(
        "MODEL.ZERO_SHOT.CLASS_BALANCED",
        False,
        ANY,
        "Draw embeddings evenly over the classes, which takes a store, rather than by whole "
        "images.",
    ),
    Key(
        "MODEL.ZERO_SHOT.BACKBONE_FEATURES",
        [],
        list_of(TEXT, 0),
        "Outputs of the backbone whose means in a query's mask are put beside its embedding, to be "
        "generated and classified with it; []: none, as published. With moments class by class "
        "(MOMENT_CLASS_SHARE 1) and weights of ImageNet they tell unseen classes apart.",
    ),
    Key(
        "MODEL.ZERO_SHOT.MEMORY",
        32,
        COUNT,
        "Real embeddings of each class that a checkpoint carries, for tools/add_classes.py; "
        "at least 1.",
    ),
    Key(
        "MODEL.ZERO_SHOT.MOMENT_BANDWIDTHS",
        [2.0, 5.0, 10.0, 20.0, 40.0, 80.0],
        list_of(POSITIVE),
        "Bandwidths sigma of the moment-matching kernel, as in exp(-|a - b|^2 / (2 sigma)).",
    ),
    Key(
        "MODEL.ZERO_SHOT.MOMENT_CLASS_SHARE",
        0.0,
        SHARE,
        "Share of that kernel that compares synthetic and real embeddings class by class, in "
        "[0, 1]; 0, as published: all classes are one sample.",
    ),
    Key(
        "MODEL.ZERO_SHOT.GENERATOR_CLASS_WEIGHT",
        0.001,
        NOT_NEGATIVE,
        "Weight of the classifier's cross-entropy on the generator's synthetic seen embeddings.",
    ),
    Key(
        "MODEL.ZERO_SHOT.GENERATOR_CLASS_LOGITS",
        "seen",
        one_of("seen", "first_156"),
        'Which of its logits: of the "seen" classes, or the "first_156" of all (for '
        "comparison: the published code cuts there whatever the data).",
    ),
    Key(
        "MODEL.ZERO_SHOT.STRUCTURE_WEIGHT",
        0.0001,
        NOT_NEGATIVE,
        "lambda: weight of disentanglement and alignment together; 0 switches both off.",
    ),
    Key("MODEL.ZERO_SHOT.ALIGNMENT_WEIGHT", 1.0, NOT_NEGATIVE, "w1: weight of alignment."),
    Key(
        "MODEL.ZERO_SHOT.UNRELATED_WEIGHT",
        0.5,
        NOT_NEGATIVE,
        "Weight of the unrelated part (w1 / 2 in the paper).",
    ),
    Key("MODEL.ZERO_SHOT.RELATION_WEIGHT", 1.0, NOT_NEGATIVE, "w2: weight of the relation scores."),
    Key(
        "MODEL.ZERO_SHOT.RECONSTRUCTION_WEIGHT",
        0.5,
        NOT_NEGATIVE,
        "w3: weight of reconstruction.",
    ),
    Key(
        "MODEL.ZERO_SHOT.STRUCTURE_SOURCE",
        "synthetic",
        one_of("synthetic", "both"),
        'Embeddings that are disentangled and aligned: "synthetic" (published code) or "both" '
        "real and synthetic (paper).",
    ),
    Key(
        "MODEL.ZERO_SHOT.STRUCTURE_DROPOUT",
        0.1,
        DROPOUT,
        "Dropout in the disentangling encoders and the decoder.",
    ),
    Key("MODEL.ZERO_SHOT.TEMPERATURE", 0.1, POSITIVE, "Temperature of the Kullback-Leibler terms."),
    Key(
        "MODEL.ZERO_SHOT.NUM_UNSEEN_CLASSES",
        5,
        COUNT,
        "Unseen classes that the classifier sees synthetic embeddings of in a step.",
    ),
    Key("MODEL.ZERO_SHOT.NUM_PER_UNSEEN_CLASS", 1, COUNT, "Synthetic embeddings of each of them."),
    Key(
        "MODEL.ZERO_SHOT.UNSEEN_WEIGHT",
        5.0,
        NOT_NEGATIVE,
        "Weight of unseen classes in the classifier's cross-entropy; seen classes weigh 1.",
    ),
    Key("MODEL.ZERO_SHOT.NO_OBJECT_WEIGHT", 0.1, NOT_NEGATIVE, "Weight of no-object in it."),
)
