"""Mixed precision, as SOLVER.AMP asks for it in training and MODEL.INFERENCE.DTYPE afterwards."""

import torch
from detectron2.config import CfgNode

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
    return {"float32": None, **_DTYPES}[cfg.MODEL.INFERENCE.DTYPE]


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Mixed precision of a type on a device; None: float32 throughout."""
    return torch.autocast(device.type, dtype, enabled=dtype is not None)
