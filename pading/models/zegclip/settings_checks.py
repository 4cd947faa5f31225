"""Settings of ZegCLIP that cannot be honoured, refused before a model is built or trained."""

import os

from detectron2.config import CfgNode
from torch import Tensor

from pading.backbones.clip_shapes import ClipImageShape
from pading.checkpoint.weights import read_weights
from pading.errors import InputError
from pading.models.zegclip.zegclip_names import ZEGCLIP_NAMES
from pading.vocabulary.splits import ClassSplit


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


def check_same_unseen(theirs: ClassSplit, ours: ClassSplit) -> None:
    """Refuse self-training of a run that other classes were unseen to.

    Raises:
        InputError: names such a class.
    """
    names = [{split.names[i] for i in split.unseen} for split in (theirs, ours)]
    unlike = sorted(names[0] ^ names[1])
    if unlike:
        kind = "unseen" if unlike[0] in names[0] else "not unseen"
        raise InputError(
            f"it was trained on the class split {theirs.name!r}, in which {unlike[0]!r} is {kind}, "
            f"unlike in {ours.name!r}; self-training goes on with the split that it began with"
        )
