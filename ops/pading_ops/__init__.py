"""Multi-scale deformable attention as a PyTorch operator, compiled for CPU and CUDA."""

from pading_ops.functional import HAS_EXTENSION, ms_deform_attn
from pading_ops.reference import ms_deform_attn_reference

__all__ = ["HAS_EXTENSION", "ms_deform_attn", "ms_deform_attn_reference"]
