"""Settings of SOLVER, DATALOADER and TEST that cannot be honoured, refused before training."""

from detectron2.config import CfgNode, get_cfg

from pading.config import add_pading_config
from pading.errors import InputError
from pading.layers.precision import amp_dtype
from pading.models.pading.embeddings import uses_stored_embeddings

# Keys that a stage has no use for, and why; any value but the default is refused.
_NEVER = {
    "SOLVER.BIAS_LR_FACTOR": "biases learn as weights do",
    "SOLVER.WEIGHT_DECAY_BIAS": "biases decay as weights do",
    "TEST.PRECISE_BN.ENABLED": "its data order could not be resumed",
}
_STAGE_ONE = {"SOLVER.GENERATOR_LR": "stage 1 has no generator"}
_STAGE_TWO = {
    "SOLVER.BACKBONE_MULTIPLIER": "stage 2 keeps the backbone as it is",
    "SOLVER.WEIGHT_DECAY_NORM": "stage 2 keeps the segmenter's norms as they are",
    "SOLVER.WEIGHT_DECAY_EMBED": "stage 2 keeps the segmenter's embeddings as they are",
}
_ADAMW = {
    "SOLVER.MOMENTUM": "SOLVER.OPTIMIZER ADAMW has none",
    "SOLVER.NESTEROV": "SOLVER.OPTIMIZER ADAMW has no momentum",
}


def check_solver(cfg: CfgNode, processes: int = 1, training: bool = True) -> None:
    """Refuse settings that the configured stage cannot honour.

    Args:
        cfg: the configuration.
        processes: that share a batch.
        training: whether there will be any; an evaluation needs no solver.

    Raises:
        InputError: the first such setting, and what to do.
    """
    amp_dtype(cfg)
    stored = uses_stored_embeddings(cfg)
    if not training:
        return
    stage_two = cfg.MODEL.META_ARCHITECTURE == "PADing"
    useless = _NEVER | (_STAGE_TWO if stage_two else _STAGE_ONE)
    if cfg.SOLVER.OPTIMIZER == "ADAMW":
        useless |= _ADAMW
    _refuse_changed(cfg, useless)
    images, steps = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUMULATION_STEPS
    if steps < 1:
        raise InputError(f"SOLVER.ACCUMULATION_STEPS is {steps}; it is at least 1")
    if stored and steps > 1:
        raise InputError(
            f"SOLVER.ACCUMULATION_STEPS is {steps}, but stored embeddings need no segmenter whose "
            "memory could be saved; remove it"
        )
    # Stored embeddings are drawn by every process for the whole batch.
    shares = 1 if stored else processes
    if images < 1 or images % (shares * steps):
        raise InputError(
            f"SOLVER.IMS_PER_BATCH is {images}, but it is shared by {shares} processes in {steps} "
            f"parts (SOLVER.ACCUMULATION_STEPS); give a multiple of {shares * steps}"
        )
    if cfg.TEST.BEST_METRIC and not cfg.DATASETS.TEST:
        raise InputError(
            f"TEST.BEST_METRIC is {cfg.TEST.BEST_METRIC!r}, but DATASETS.TEST names no data set to "
            "measure it on"
        )


def _refuse_changed(cfg: CfgNode, useless: dict[str, str]) -> None:
    default = get_cfg()
    add_pading_config(default)
    for key, reason in useless.items():
        section, name = key.rsplit(".", 1)
        given, usual = (_section(c, section)[name] for c in (cfg, default))
        if given != usual:
            raise InputError(f"{key} is {given!r}, but {reason}; remove it")


def _section(cfg: CfgNode, path: str) -> CfgNode:
    for name in path.split("."):
        cfg = cfg[name]
    return cfg
