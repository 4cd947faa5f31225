"""A trained model out of its checkpoint alone: split, settings and vectors are in it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

from pading.checkpoint.checkpointer import Checkpointer
from pading.checkpoint.weights import read_weights
from pading.config import config_from_yaml, override
from pading.errors import InputError
from pading.files import replacing, write_json, writing
from pading.models.base import SegmentationModel
from pading.models.registry import build_model
from pading.models.vocabulary_edits import class_vectors_of
from pading.vocabulary.class_vectors import vectors_source
from pading.vocabulary.splits import ClassSplit


def load_trained(
    path: str | os.PathLike[str], overrides: Sequence[str] = ()
) -> tuple[CfgNode, SegmentationModel]:
    """The configuration and the model of a checkpoint that training wrote.

    Args:
        path: the checkpoint.
        overrides: configuration keys and values in turn. MODEL.DEVICE is this machine's otherwise.

    Returns:
        the configuration, in which MODEL.WEIGHTS is the checkpoint, and the model for inference.

    Raises:
        InputError: what reading or building refuses; a checkpoint that carries no split or
            configuration, as published ones.
    """
    path = os.fspath(path)
    content = read_weights(path)
    for key in ("split", "config"):
        if key not in content:
            raise InputError(
                f"{path}: it carries no {key} (a published checkpoint, or one that was converted); "
                "name the configuration that it belongs to as well"
            )
    cfg = config_from_yaml(content["config"], path)
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    override(cfg, overrides)
    cfg.MODEL.WEIGHTS = path
    split = ClassSplit.from_record(content["split"], path)
    vectors = content["model"].get("class_vectors")
    model = build_model(cfg, split, None if vectors is None else vectors.float()).eval()
    names = model.published_names.to_ours(content["model"])
    for group in model.initialised_afresh:
        if not any(name.startswith(group) for name in names):
            raise InputError(
                f"{path}: it has no {group[0].removesuffix('.')}: training has not begun yet; give "
                "a checkpoint that training wrote"
            )
    Checkpointer(model).load(path)
    model.vectors_source = content.get("vectors_source") or _source_of_file(cfg)
    return cfg, model


def save_trained(cfg: CfgNode, model: SegmentationModel, output: str | Path) -> list[str]:
    """Write a checkpoint, and its split (.json) and class vectors (.npz) beside it.

    Args:
        cfg: the model's.
        model: uses class vectors.
        output: where to; it ends in .pth.

    Returns:
        the KEY VALUE pairs that every command takes it with.

    Raises:
        InputError: the name does not end in .pth, or a file cannot be written.
    """
    output = Path(output)
    if output.suffix != ".pth":
        raise InputError(f"{output}: a checkpoint is written to a file that ends in .pth")
    split, vectors = output.with_suffix(".json"), output.with_suffix(".npz")
    content = {"model": model.state_dict(), **model.described(), "config": cfg.dump()}
    try:
        with replacing(output) as temporary, open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        write_json(split, model.split.record(), indent=1)
    except OSError as error:
        raise InputError(f"{output}: cannot write this checkpoint: {error.strerror}") from error
    source = model.vectors_source or f"checkpoint {cfg.MODEL.WEIGHTS}"
    class_vectors_of(model, source).save(vectors)
    keys = ("MODEL.WEIGHTS", "DATASETS.SPLIT", "MODEL.CLASS_VECTORS")
    files = (output, split, vectors)
    return [text for key, file in zip(keys, files, strict=True) for text in (key, str(file))]


def save_with_settings(
    content: Mapping[str, Any], source: str, output: str | Path, settings: Mapping[str, Any]
) -> None:
    """Write a checkpoint whose configuration has other values in MODEL.INFERENCE.

    Args:
        content: of a checkpoint that carries its configuration.
        source: its file, for errors.
        output: where to; may be the same.
        settings: keys below MODEL.INFERENCE, with their values.

    Raises:
        InputError: the configuration cannot be read, or the file cannot be written.
    """
    cfg = config_from_yaml(content["config"], source)
    for key, value in settings.items():
        cfg.MODEL.INFERENCE[key] = value
    with writing(output) as temporary:
        torch.save({**content, "config": cfg.dump()}, temporary)


def _source_of_file(cfg: CfgNode) -> str:
    """What made the vectors of MODEL.CLASS_VECTORS, for earlier checkpoints; "": not known."""
    try:
        return vectors_source(cfg.MODEL.CLASS_VECTORS)
    except InputError:  # the file of a training elsewhere; the vectors are in the checkpoint
        return ""
