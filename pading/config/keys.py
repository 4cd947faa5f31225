"""All keys that pading adds to Detectron2's or checks, and the check of their values."""

from typing import Any

from detectron2.config import CfgNode

from pading.config.backbone_keys import BACKBONE_KEYS
from pading.config.data_keys import DATA_KEYS
from pading.config.key import THEIRS
from pading.config.lseg_keys import LSEG_KEYS
from pading.config.model_keys import MODEL_KEYS
from pading.config.solver_keys import SOLVER_KEYS
from pading.config.zegclip_keys import ZEGCLIP_KEYS
from pading.config.zero_shot_keys import ZERO_SHOT_KEYS
from pading.errors import InputError

KEYS = (
    *DATA_KEYS,
    *BACKBONE_KEYS,
    *MODEL_KEYS,
    *LSEG_KEYS,
    *ZEGCLIP_KEYS,
    *ZERO_SHOT_KEYS,
    *SOLVER_KEYS,
)


def add_pading_config(cfg: CfgNode) -> None:
    """Add pading's keys, and its defaults of Detectron2's, to a configuration of Detectron2."""
    for key in KEYS:
        if key.default is THEIRS:
            continue
        *sections, name = key.name.split(".")
        node = cfg
        for section in sections:
            if section not in node:
                node[section] = CfgNode()
            node = node[section]
        default = key.default
        node[name] = list(default) if isinstance(default, list) else default


def check_settings(cfg: CfgNode) -> None:
    """Refuse values that no system can work with; :mod:`pading.models` checks each system's own.

    Raises:
        InputError: names the key, its value and what it must be.
    """
    for key in KEYS:
        value = value_of(cfg, key.name)
        if not key.rule.holds(value):
            raise InputError(f"{key.name} is {value!r}; it must be {key.rule.wanted}")
    if cfg.INPUT.MIN_SCALE > cfg.INPUT.MAX_SCALE:
        raise InputError(
            f"INPUT.MIN_SCALE is {cfg.INPUT.MIN_SCALE}, above INPUT.MAX_SCALE, "
            f"{cfg.INPUT.MAX_SCALE}; exchange them"
        )


def value_of(cfg: CfgNode, name: str) -> Any:
    """The value of a key, whose sections are separated by dots."""
    for part in name.split("."):
        cfg = cfg[part]
    return cfg
