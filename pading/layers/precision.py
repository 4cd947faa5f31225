"""Mixed precision, as SOLVER.AMP asks for it in training and MODEL.INFERENCE.DTYPE afterwards."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from detectron2.config import CfgNode
from torch import nn

from pading.layers.eight_bits import Range, eight_bits

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def amp_dtype(cfg: CfgNode) -> torch.dtype | None:
    """The type of mixed precision that SOLVER.AMP asks for; None for float32.

    "auto" is float16 on a GPU and float32 elsewhere: a CPU without float16 arithmetic takes twenty
    times as long with it.
    """
    name = cfg.SOLVER.AMP.DTYPE
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    if name == "auto":
        return torch.float16 if cfg.MODEL.DEVICE.startswith("cuda") else None
    return _DTYPES[name]


def inference_dtype(cfg: CfgNode) -> torch.dtype | None:
    """The type of mixed precision that MODEL.INFERENCE.DTYPE asks for; None for float32."""
    return {"float32": None, "int8": torch.int8, **_DTYPES}[cfg.MODEL.INFERENCE.DTYPE]


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Mixed precision of a type on a device; None: float32 throughout."""
    return torch.autocast(device.type, dtype, enabled=dtype is not None)


def mixed_precision(
    network: nn.Module,
    device: torch.device,
    dtype: torch.dtype | None,
    ranges: Mapping[str, Range],
) -> AbstractContextManager:
    """What :func:`inference_dtype` gives, while a network predicts; None: as the caller has it.

    Args:
        network: it is.
        device: where it is.
        dtype: the type.
        ranges: of its layers, for :func:`~pading.layers.eight_bits.eight_bits`.
    """
    if dtype == torch.int8:
        return eight_bits(network, ranges)
    return autocast(device, dtype) if dtype else nullcontext()
