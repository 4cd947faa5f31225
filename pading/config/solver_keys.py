"""Keys of training and testing."""

from pading.config.key import (
    ANY,
    ASCENDING,
    COUNT,
    DROPOUT,
    METRIC,
    NORM_TYPE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    TEXT,
    THEIRS,
    Key,
    one_of,
)

SOLVER_KEYS = (
    Key(
        "SOLVER.LR_SCHEDULER_NAME",
        THEIRS,
        one_of("WarmupMultiStepLR", "WarmupCosineLR", "WarmupPolyLR"),
        "How the learning rate falls.",
    ),
    Key("SOLVER.IMS_PER_BATCH", THEIRS, COUNT, "Images of a batch, of all processes together."),
    Key("SOLVER.MAX_ITER", THEIRS, COUNT, "Iterations."),
    Key("SOLVER.CHECKPOINT_PERIOD", THEIRS, COUNT, "Iterations between two checkpoints."),
    Key("SOLVER.STEPS", THEIRS, ASCENDING, "Iterations at which the learning rate falls by GAMMA."),
    Key(
        "SOLVER.WARMUP_METHOD",
        THEIRS,
        one_of("linear", "constant", "product"),
        'How the learning rate rises at first; "product", of WarmupPolyLR alone: it is multiplied '
        "with a linear rise, as in mmcv.",
    ),
    Key("SOLVER.WARMUP_FACTOR", THEIRS, SHARE, "Where it begins, relative to BASE_LR."),
    Key("SOLVER.MOMENTUM", THEIRS, DROPOUT, "Momentum of SGD."),
    Key("SOLVER.BASE_LR", THEIRS, NOT_NEGATIVE, "Learning rate."),
    Key("SOLVER.GAMMA", THEIRS, NOT_NEGATIVE, "Factor by which it falls at each of STEPS."),
    Key("SOLVER.WARMUP_ITERS", THEIRS, NOT_NEGATIVE, "How long it rises."),
    Key("SOLVER.WEIGHT_DECAY", THEIRS, NOT_NEGATIVE, "Weight decay."),
    Key("SOLVER.WEIGHT_DECAY_NORM", THEIRS, NOT_NEGATIVE, "Weight decay of norms."),
    Key("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", THEIRS, POSITIVE, "Largest norm of the gradient."),
    Key("SOLVER.CLIP_GRADIENTS.NORM_TYPE", THEIRS, NORM_TYPE, "Which norm."),
    Key(
        "SOLVER.OPTIMIZER",
        "ADAMW",
        one_of("ADAMW", "SGD"),
        'Optimizer of stage 1 and of stage 2\'s classifier: "ADAMW" or "SGD".',
    ),
    Key(
        "SOLVER.BACKBONE_MULTIPLIER",
        0.1,
        NOT_NEGATIVE,
        "Learning rate of the backbone relative to BASE_LR.",
    ),
    Key(
        "SOLVER.WEIGHT_DECAY_EMBED",
        0.0,
        NOT_NEGATIVE,
        "Weight decay of embeddings (queries, levels, positions).",
    ),
    Key(
        "SOLVER.REFERENCE_BATCH",
        0,
        NOT_NEGATIVE,
        "Images of a batch that the learning rates are meant for: they are scaled in proportion to "
        "IMS_PER_BATCH. 0: they are as they are given.",
    ),
    Key(
        "SOLVER.POLY_LR_POWER",
        0.9,
        POSITIVE,
        "WarmupPolyLR: the rate is (1 - iteration / MAX_ITER) to this power, of BASE_LR.",
    ),
    Key(
        "SOLVER.POLY_LR_END",
        0.0,
        SHARE,
        "WarmupPolyLR: where the rate ends, relative to BASE_LR.",
    ),
    Key("SOLVER.GENERATOR_LR", 5e-4, NOT_NEGATIVE, "Learning rate of stage 2's generator (Adam)."),
    Key(
        "SOLVER.CLIP_GRADIENTS.CLIP_TYPE",
        "full_model",
        one_of("full_model"),
        "The whole gradient's norm is clipped, as in Mask2Former, where clipping is on.",
    ),
    Key(
        "SOLVER.AMP.DTYPE",
        "auto",
        one_of("auto", "float16", "bfloat16"),
        'Type of mixed precision where SOLVER.AMP.ENABLED: "float16", "bfloat16", or "auto", '
        "which is float16 on a GPU and none (float32) on a CPU.",
    ),
    Key(
        "SOLVER.ACCUMULATION_STEPS",
        1,
        COUNT,
        "Parts that a process's share of a batch is cut into, to run one after another in "
        "less memory. Stage 1's losses are means over the parts; stage 2's are those of the "
        "whole batch.",
    ),
    Key(
        "SOLVER.CHECKPOINTS_KEPT",
        5,
        NOT_NEGATIVE,
        "Checkpoints of iterations that are kept, the newest; 0 keeps all.",
    ),
    Key(
        "SOLVER.MAX_SKIPPED_STEPS",
        0,
        NOT_NEGATIVE,
        "Steps of a run that may be left out because a loss or its gradient is infinite or "
        "NaN; one more stops it.",
    ),
    Key("TEST.DETECTIONS_PER_IMAGE", THEIRS, COUNT, "Instances of an image, at most."),
    Key(
        "TEST.EVAL_PERIOD",
        THEIRS,
        NOT_NEGATIVE,
        "Iterations between two evaluations; 0: in the end alone.",
    ),
    Key(
        "TEST.BEST_METRIC",
        "",
        METRIC,
        'The result that model_best.pth has most of, such as "panoptic_seg/PQ"; "" keeps no '
        "best model.",
    ),
    Key(
        "TEST.REPORT",
        False,
        ANY,
        "Write OUTPUT_DIR/report.html of an evaluation: scores, classes, images, curves.",
    ),
    Key("OUTPUT_DIR", THEIRS, TEXT, "Folder of the run."),
)
