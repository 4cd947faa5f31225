"""The published code's segmenter on a CPU, from a checkout that an environment variable names."""

import importlib
import os
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode, get_cfg
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from detectron2.projects.deeplab import add_deeplab_config
from torch import Tensor, nn

from pading.config.reading import read_with_bases
from pading.errors import InputError
from pading.models.mask2former import Mask2Former

CHECKOUT = "PADING_PUBLISHED"
"""The environment variable: a folder with the published code."""
_MODEL = "maskformer_model"


def published_segmenter(model: Mask2Former) -> nn.Module:
    """Their network with our weights and settings.

    Its package is imported without its data sets, and its deformable attention, which is for GPUs
    alone, is the version in plain PyTorch that it carries for tests.

    Raises:
        InputError: the folder does not hold that code.
    """
    folder = Path(os.environ[CHECKOUT])
    packages = [path.parent for path in folder.glob(f"*/{_MODEL}.py")]
    if len(packages) != 1:
        raise InputError(f"{CHECKOUT}={folder}: no package with {_MODEL}.py lies there")
    name = packages[0].name
    sys.path.insert(0, str(folder))
    sys.modules["MultiScaleDeformableAttention"] = types.ModuleType("not compiled")
    package = types.ModuleType(name)
    package.__path__ = [str(packages[0])]
    sys.modules[name] = package

    config = importlib.import_module(f"{name}.config")
    importlib.import_module(f"{name}.modeling")
    importlib.import_module(f"{name}.{_MODEL}")
    ops = f"{name}.modeling.pixel_decoder.ops"
    functions = importlib.import_module(f"{ops}.functions.ms_deform_attn_func")
    layer = importlib.import_module(f"{ops}.modules.ms_deform_attn")

    class Function:
        @staticmethod
        def apply(
            value: Tensor, shapes: Tensor, starts: Tensor, places: Tensor, weights: Tensor, _: int
        ) -> Tensor:
            return functions.ms_deform_attn_core_pytorch(value, shapes, places, weights)

    layer.MSDeformAttnFunction = Function  # type: ignore[attr-defined]
    theirs = get_cfg()
    add_deeplab_config(theirs)
    config.add_maskformer2_config(theirs)
    theirs.set_new_allowed(True)
    for _, settings in read_with_bases(str(folder / "configs/panoptic-segmentation/pretrain.yaml")):
        theirs.merge_from_other_cfg(CfgNode(settings))
    _settings(theirs, model)
    built = build_model(theirs).eval()
    _take_weights(built, model.state_dict())
    return built


def _settings(theirs: CfgNode, model: Mask2Former) -> None:
    ours, inference = model.inference, theirs.MODEL.MASK_FORMER.TEST
    theirs.MODEL.DEVICE = "cpu"
    theirs.MODEL.SEM_SEG_HEAD.NUM_CLASSES = (
        len(model.sem_seg_head["predictor"].class_embed.bias) - 1
    )
    inference.OBJECT_MASK_THRESHOLD = ours.score_threshold
    inference.OVERLAP_THRESHOLD = ours.overlap_threshold
    inference.PANOPTIC_ON = "panoptic" in ours.tasks
    inference.INSTANCE_ON = "instance" in ours.tasks
    inference.SEMANTIC_ON = "semantic" in ours.tasks
    theirs.DATASETS.TRAIN = ("benchmark",)
    things = {i: i for i in model.split.things}
    MetadataCatalog.get("benchmark").set(thing_dataset_id_to_contiguous_id=things)


def _take_weights(built: nn.Module, weights: Mapping[str, Tensor]) -> None:
    # By its versions: of another one, it takes names for older ones.
    weights._metadata = built.state_dict()._metadata  # type: ignore[attr-defined]
    found: Any = built.load_state_dict(weights, strict=False)
    missing = [name for name in found.missing_keys if not name.startswith("criterion.")]
    if missing:
        raise InputError(f"{CHECKOUT}: its network has {missing[0]}, which ours has not")
