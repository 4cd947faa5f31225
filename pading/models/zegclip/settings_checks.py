"""Settings of ZegCLIP that cannot be honoured, refused before a model is built or trained."""

import os

from detectron2.config import CfgNode
from torch import Tensor

from pading.backbones.clip_image import ClipImageShape
from pading.checkpoint.weights import read_weights
from pading.errors import InputError
from pading.models.zegclip.zegclip_names import ZEGCLIP_NAMES


def check_sizes(cfg: CfgNode, shape: ClipImageShape, class_vectors: Tensor | None) -> None:
    """Refuse what does not fit the tower.

    Raises:
        InputError: prompts deeper than the tower, windows smaller than a patch, heads that do not
            divide the width, class vectors of another width.
    """
    section = cfg.MODEL.ZEGCLIP
    if section.PROMPTS and shape.layers <= section.PROMPT_DEPTH:
        raise InputError(
            f"MODEL.ZEGCLIP.PROMPT_DEPTH is {section.PROMPT_DEPTH}, but the tower has "
            f"{shape.layers} layers; give at most {shape.layers - 1}"
        )
    window = cfg.MODEL.INFERENCE.WINDOW
    if window and min(window) < shape.patch_size:
        raise InputError(
            f"MODEL.INFERENCE.WINDOW is {list(window)}, smaller than a patch of {shape.patch_size} "
            "pixels; take a larger one"
        )
    if shape.embed_dim % section.DECODER_HEADS:
        raise InputError(
            f"MODEL.ZEGCLIP.DECODER_HEADS is {section.DECODER_HEADS}, which does not divide the "
            f"{shape.embed_dim} channels of CLIP's joint space"
        )
    if class_vectors is None or class_vectors.shape[1] != shape.embed_dim:
        found = "none" if class_vectors is None else f"vectors of {class_vectors.shape[1]} numbers"
        raise InputError(
            f"MODEL.CLASS_VECTORS gives {found}, but CLIP's joint space has {shape.embed_dim}: "
            "take vectors by the text tower of the same CLIP (pading vectors --help)"
        )


def check_self_training(cfg: CfgNode) -> None:
    """Refuse a self-training that does not start from an inductive run.

    Published checkpoints do not say how they were trained, and are taken.

    Raises:
        InputError: no weights, those of CLIP alone, or of a run in another setting.
    """
    weights = cfg.MODEL.WEIGHTS
    if cfg.MODEL.ZEGCLIP.SETTING != "transductive":
        return
    start = "give the checkpoint of an inductive run, half-way, as MODEL.WEIGHTS"
    if not weights:
        raise InputError(f"MODEL.ZEGCLIP.SETTING is 'transductive', which needs a start; {start}")
    if "://" in weights or not os.path.isfile(weights):
        return  # what is said of remote and missing files is said where they are fetched
    content = read_weights(weights)
    if not any(ZEGCLIP_NAMES.ours(name).startswith("head.") for name in content["model"]):
        raise InputError(f"MODEL.WEIGHTS {weights}: it holds no ZegCLIP; {start}")
    setting = content.get("setting", "inductive")
    if setting != "inductive":
        raise InputError(f"MODEL.WEIGHTS {weights}: it was trained {setting}; {start}")
