"""Settings of SOLVER, DATALOADER and TEST that cannot be honoured, refused before training."""

from detectron2.config import CfgNode, get_cfg

from pading.config import add_pading_config
from pading.errors import InputError
from pading.models.registry import model_class

# Keys that no system has a use for, and why; any value but the default is refused.
_NEVER = {
    "SOLVER.BIAS_LR_FACTOR": "biases learn as weights do",
    "SOLVER.WEIGHT_DECAY_BIAS": "biases decay as weights do",
    "TEST.PRECISE_BN.ENABLED": "its data order could not be resumed",
}
_ADAMW = {
    "SOLVER.MOMENTUM": "SOLVER.OPTIMIZER ADAMW has none",
    "SOLVER.NESTEROV": "SOLVER.OPTIMIZER ADAMW has no momentum",
}


def check_solver(cfg: CfgNode, processes: int = 1, training: bool = True) -> None:
    """Refuse settings that the configured system cannot honour.

    Args:
        cfg: the configuration.
        processes: that share a batch.
        training: whether there will be any; an evaluation needs no solver.

    Raises:
        InputError: the first such setting, and what to do.
    """
    if not training:
        return
    system = model_class(cfg.MODEL.META_ARCHITECTURE)
    useless = {**_NEVER, **system.unused_settings}
    if cfg.SOLVER.OPTIMIZER == "ADAMW":
        useless |= _ADAMW
    _refuse_changed(cfg, useless)
    system.check_training(cfg, processes)
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
