"""What the first stage of a project starts from, where only the user can have it."""

from pathlib import Path

from detectron2.config import CfgNode

from pading.config import load_config
from pading.errors import InputError
from pading.projects.layout import base_of, systems

_CLIP = "build_clip_image_tower"


def starting_weights(system: str, given: Path | None) -> str:
    """MODEL.WEIGHTS of the first stage; "": what its configuration says.

    Args:
        system: of :func:`~pading.projects.layout.systems`.
        given: the user's file.

    Raises:
        InputError: no such file, or none where the system needs one that is not fetched.
    """
    if given is not None:
        if not given.is_file():
            raise InputError(f"--weights {given}: there is no such file; correct its name")
        return str(given.absolute())
    usual = _first_stage(system).WEIGHTS
    if usual and "://" not in usual:
        raise InputError(
            f"--system {system} starts from trained weights ({usual}), which are not fetched for "
            "you; give your file of them as --weights FILE"
        )
    return ""


def usual_vectors(system: str, weights: str) -> str:
    """The text encoder that a system's class vectors must come from; "": any.

    A system that starts from CLIP compares its pixels with what the text tower of the same file
    makes of the names.

    Args:
        system: as above.
        weights: of :func:`starting_weights`.
    """
    model = _first_stage(system)
    return f"openclip:{model.CLIP.NAME}:{weights}" if model.BACKBONE.NAME == _CLIP else ""


def _first_stage(system: str) -> CfgNode:
    """MODEL of what a system's first stage is configured by."""
    return load_config(base_of(system, systems()[system][0])).MODEL
