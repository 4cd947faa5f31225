"""The published ZegCLIP on a CPU, from a checkout, with stand-ins for what it is built on.

Its modules are imported as they are. Of mmcv and mmsegmentation, which no longer install, they use
a registry, a resize, an accuracy and base classes without arithmetic of their own; those are made
here, and what is only imported, a name.
"""

import contextlib
import importlib
import importlib.util
import io
import os
import sys
import tempfile
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pading.errors import InputError
from pading.vocabulary.splits import ClassSplit

CHECKOUT = "ZEGCLIP_CHECKOUT"
"""The environment variable: a folder with the published code."""
_WIDTH = 512
_REGISTERED: dict[str, type] = {}


def published_network(split: ClassSplit, prompts: int) -> Any:
    """Their segmenter, inductive, ViT-B/16 with random weights and random class vectors.

    Raises:
        InputError: the folder does not hold that code.
    """
    folder = Path(os.environ.get(CHECKOUT, ""))
    if not (folder / "models" / "segmentor" / "zegclip.py").is_file():
        raise InputError(
            f"{CHECKOUT} is {os.environ.get(CHECKOUT, '')!r}, which is no checkout of the "
            "published code (models/segmentor/zegclip.py); fetch ZiqinZhou66/ZegCLIP and name it"
        )
    if "models" not in sys.modules:
        _stand_in()
        package = types.ModuleType("models")  # without its data sets
        package.__path__ = [str(folder / "models")]
        sys.modules["models"] = package
        for module in ("backbone.img_encoder", "decode_heads.decode_seg", "losses.atm_loss"):
            importlib.import_module(f"models.{module}")
        importlib.import_module("models.segmentor.zegclip")
    generator = torch.Generator().manual_seed(0)
    texts = F.normalize(torch.randn(split.num_classes, _WIDTH, generator=generator), dim=1)
    vectors = Path(tempfile.mkdtemp()) / "texts.npy"  # read from there in every pass
    np.save(vectors, texts.numpy())
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        network = _REGISTERED["ZegCLIP"](
            **_settings(split, prompts),
            text_encoder={"type": "NoTextEncoder"},
            load_text_embedding=str(vectors),
        )
    _as_trained(network)
    return network.eval()


def training_losses(network: Any, images: Tensor, labels: Tensor) -> Tensor:
    """The sum of their losses.

    Args:
        network: theirs.
        images: (B, 3, H, W), normalised.
        labels: (B, H, W) int64, classes.
    """
    found = network.forward_train(images, None, labels[:, None].clone())
    return sum((v for k, v in found.items() if "loss" in k), images.new_zeros(()))


def _settings(split: ClassSplit, prompts: int) -> dict[str, Any]:
    seen, every = list(split.seen), list(range(split.num_classes))
    return {
        "pretrained_text": None,
        "class_names": split.names,
        "context_length": 77,
        "base_class": seen,
        "novel_class": list(split.unseen),
        "both_class": every,
        "exclude_key": "prompt",
        "test_cfg": types.SimpleNamespace(stride=(426, 426), crop_size=(512, 512)),
        "backbone": {
            "type": "VPTCLIPVisionTransformer",
            **{"patch_size": 16, "width": 768, "layers": 12, "heads": 12, "output_dim": _WIDTH},
            **{"input_resolution": 512, "get_embeddings": True, "out_indices": [11]},
            **{"num_tokens": prompts, "prompt_dim": 768, "total_d_layer": 11},
        },
        "decode_head": {
            "type": "ATMSingleHeadSeg",
            **{"img_size": 512, "in_channels": _WIDTH, "channels": _WIDTH, "embed_dims": _WIDTH},
            **{"seen_idx": seen, "all_idx": every, "num_classes": len(seen), "num_layers": 3},
            **{"num_heads": 8, "use_proj": False, "use_stages": 1},
            "loss_decode": {
                "type": "SegLossPlus",
                **{"num_classes": len(seen), "dec_layers": 3, "mask_weight": 100.0},
            },
        },
    }


@torch.no_grad()
def _as_trained(network: nn.Module) -> None:
    """No parameter is 0 or 1 throughout, which would hide one that is left out."""
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter += 0.05 * torch.randn_like(parameter)


class _Registry:
    """Classes by their names, and whatever is built from a dictionary with ``type``."""

    def register_module(self) -> Callable[[type], type]:
        def keep(kind: type) -> type:
            _REGISTERED[kind.__name__] = kind
            return kind

        return keep

    @staticmethod
    def build(settings: Mapping[str, Any]) -> Any:
        arguments = dict(settings)
        return _REGISTERED[arguments.pop("type")](**arguments)


class _Segmentor(nn.Module):
    """A backbone and a head."""

    def __init__(
        self, backbone: Mapping[str, Any], decode_head: Mapping[str, Any], test_cfg: Any
    ) -> None:
        super().__init__()
        self.backbone = _Registry.build(backbone)
        self._init_decode_head(decode_head)
        self.train_cfg, self.test_cfg = None, test_cfg


class _Head(nn.Module):
    """What a head is told."""

    def __init__(
        self, in_channels: int, channels: int, num_classes: int, loss_decode: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.in_channels, self.channels, self.num_classes = in_channels, channels, num_classes
        self.align_corners, self.ignore_index = False, 255
        self.conv_seg = nn.Identity()
        self.loss_decode = _Registry.build(loss_decode)


class NoTextEncoder(nn.Module):
    """Theirs is built, and not used where vectors are stored."""


def _accuracy(scores: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    right = scores.argmax(1) == labels
    return 100 * right[labels != ignore_index].float().mean()


def _resize(
    input: Tensor,  # noqa: A002 (the name that callers use)
    size: Any,
    mode: str,
    align_corners: bool,
    warning: bool = True,
) -> Tensor:
    return F.interpolate(input, tuple(size), mode=mode, align_corners=align_corners)


def _stand_in() -> None:
    """Put names in the places of modules that are not installed."""
    registry = _Registry()
    _REGISTERED["NoTextEncoder"] = NoTextEncoder
    as_it_is = lambda *_, **__: lambda function: function  # noqa: E731
    builder = {
        **dict.fromkeys(("BACKBONES", "HEADS", "LOSSES", "SEGMENTORS"), registry),
        **dict.fromkeys(("build_backbone", "build_head", "build_loss"), _Registry.build),
    }
    prefixed = lambda losses, prefix: {f"{prefix}.{k}": v for k, v in losses.items()}  # noqa: E731
    layers = "timm.layers"
    timm = {n: getattr(importlib.import_module(layers), n) for n in ("drop_path", "trunc_normal_")}
    for name, content in {
        "mmcv": {},
        "mmcv.cnn": {"ConvModule": nn.Module},
        "mmcv.runner": {"auto_fp16": as_it_is, "force_fp32": as_it_is},
        "mmseg": {},
        "mmseg.core": {"add_prefix": prefixed},
        "mmseg.ops": {"Upsample": nn.Upsample, "resize": _resize},
        "mmseg.models": {"builder": types.SimpleNamespace(**builder)},
        "mmseg.models.builder": builder,
        "mmseg.models.backbones": {"ResNet": nn.Module, "VisionTransformer": nn.Module},
        "mmseg.models.decode_heads": {},
        "mmseg.models.decode_heads.decode_head": {"BaseDecodeHead": _Head},
        "mmseg.models.losses": {"accuracy": _accuracy},
        "mmseg.models.segmentors": {},
        "mmseg.models.segmentors.base": {"BaseSegmentor": nn.Module},
        "mmseg.models.segmentors.encoder_decoder": {"EncoderDecoder": _Segmentor},
        "timm.models.layers": {**timm, "drop": None},
        "matplotlib": {},
        "matplotlib.pyplot": {"text": None},
        "tkinter": {"OUTSIDE": None},
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        sys.modules[name] = module
