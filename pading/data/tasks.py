"""Which results a model gives, and whether the data sets have what those need."""

import os
from collections.abc import Sequence
from typing import Literal

from detectron2.config import CfgNode

from pading.data.catalogue import metadata_of
from pading.data.masks import MOST_CLASSES
from pading.errors import InputError

Setting = Literal["gzsi", "zsi"]

# Task of a data set -> results that it can be trained and scored for.
_RESULTS = {
    "panoptic": ("panoptic", "instance", "semantic"),
    "instance": ("instance",),
    "semantic": ("semantic",),
}


def tasks_of(cfg: CfgNode) -> dict[str, bool]:
    """Whether the model gives "panoptic", "instance" and "semantic" results."""
    inference = cfg.MODEL.INFERENCE
    return {
        "panoptic": inference.PANOPTIC_ON,
        "instance": inference.INSTANCE_ON,
        "semantic": inference.SEMANTIC_ON,
    }


def instance_setting(cfg: CfgNode) -> Setting:
    """Which classes instances may have, and are scored: all ("gzsi") or the unseen ("zsi").

    Raises:
        InputError: "zsi" for a model whose class head knows no unseen class.
    """
    setting = cfg.MODEL.INFERENCE.INSTANCE_SETTING
    if setting == "gzsi":
        return "gzsi"
    if cfg.MODEL.SEGMENTER.CLASSES == "seen":
        raise InputError(
            'MODEL.INFERENCE.INSTANCE_SETTING "zsi": a model of stage 1 (MODEL.SEGMENTER.CLASSES '
            '"seen") knows no unseen class; use "gzsi" for it, and "zsi" in stage 2'
        )
    return "zsi"


def check_tasks(cfg: CfgNode, train: Sequence[str], test: Sequence[str]) -> None:
    """Refuse results that the data sets cannot be trained or scored for.

    Args:
        cfg: MODEL.INFERENCE says which results.
        train: registered data sets that are trained on.
        test: registered data sets that are scored.

    Raises:
        InputError: no result is asked for; a data set is of another task; instances are to be
            scored without annotations of any, or in the setting "zsi" without an unseen class;
            semantic maps of too many classes.
    """
    wanted = [task for task, on in tasks_of(cfg).items() if on]
    if not wanted:
        raise InputError(
            "MODEL.INFERENCE: no result is asked for; set PANOPTIC_ON, INSTANCE_ON or SEMANTIC_ON"
        )
    zsi = instance_setting(cfg) == "zsi"
    for name in (*train, *test):
        metadata = metadata_of(name)
        for task in wanted:
            if task not in _RESULTS[metadata.task]:
                raise InputError(
                    f"MODEL.INFERENCE.{task.upper()}_ON: the data set {name!r} is for "
                    f"{metadata.task} segmentation and has no {task} ground truth; switch that "
                    f"off, or name {task} data sets"
                )
        if "semantic" in wanted and metadata.split.num_classes > MOST_CLASSES:
            raise InputError(
                f"MODEL.INFERENCE.SEMANTIC_ON: the split {metadata.split.name!r} has "
                f"{metadata.split.num_classes} classes, and the 16 bits of label maps have "
                f"room for {MOST_CLASSES}; switch it off, or take fewer classes"
            )
        if "instance" not in wanted or name not in test:
            continue
        if not metadata.get("instance_json"):
            raise InputError(
                f"MODEL.INFERENCE.INSTANCE_ON: the data set {name!r} has no instance annotations "
                "to score against; switch it off, or name a data set that has"
            )
        if not os.path.isfile(metadata.instance_json):
            raise InputError(
                f"{metadata.instance_json}: there is no such file, but MODEL.INFERENCE.INSTANCE_ON "
                f"scores the instances of {name!r} against it; get it, or switch that off"
            )
        if zsi and not metadata.split.unseen:
            raise InputError(
                'MODEL.INFERENCE.INSTANCE_SETTING "zsi": no class of the split '
                f'{metadata.split.name!r} is unseen; use "gzsi"'
            )
