"""How results are made of what a network gives: MODEL.INFERENCE, read once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from detectron2.config import CfgNode

from pading.data.tasks import Setting, instance_setting, tasks_of
from pading.layers.eight_bits import Range, check_eight_bits
from pading.layers.precision import inference_dtype


@dataclass(frozen=True)
class InferenceSettings:
    """What MODEL.INFERENCE and TEST say of results.

    Args:
        tasks: those of "panoptic", "instance" and "semantic" that are wanted.
        score_threshold, overlap_threshold: of the panoptic inference, in [0, 1].
        max_instances: of the instance inference.
        instance_setting: classes that instances may have: "gzsi", all, or "zsi", the unseen.
        dtype: type of mixed precision; None: as the caller has it.
        int8_ranges: of layers by name, where the type is int8.
        seen_bias: taken off the scores of seen classes.
        window: height and width of sliding windows; None: the whole image at once.
        stride: of the windows.
        window_batch: windows that are looked at together.
        scales: sizes at which an image is looked at, relative to its own.
        flip: look at the mirrored image as well.
        memory: bytes that maps of all classes may take at full size.
    """

    tasks: tuple[str, ...]
    score_threshold: float = 0.8
    overlap_threshold: float = 0.8
    max_instances: int = 100
    instance_setting: Setting = "gzsi"
    dtype: torch.dtype | None = None
    int8_ranges: Mapping[str, Range] = field(default_factory=dict)
    seen_bias: float = 0.0
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    window_batch: int = 4
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    memory: int = 512 * 2**20

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "InferenceSettings":
        """Read a configuration.

        Raises:
            InputError: what :func:`~pading.data.tasks.instance_setting` or
                :func:`~pading.layers.eight_bits.check_eight_bits` refuses.
        """
        inference = cfg.MODEL.INFERENCE
        window, stride = tuple(inference.WINDOW), tuple(inference.STRIDE)
        dtype, ranges = inference_dtype(cfg), inference.INT8_RANGES
        if dtype == torch.int8:
            check_eight_bits(cfg.MODEL.DEVICE, ranges)
        return cls(
            tasks=tuple(task for task, on in tasks_of(cfg).items() if on),
            score_threshold=inference.OBJECT_SCORE_THRESHOLD,
            overlap_threshold=inference.OVERLAP_THRESHOLD,
            max_instances=cfg.TEST.DETECTIONS_PER_IMAGE,
            instance_setting=instance_setting(cfg),
            dtype=dtype,
            int8_ranges={
                name: Range(low, high)
                for name, low, high in zip(ranges[::3], ranges[1::3], ranges[2::3], strict=True)
            },
            seen_bias=inference.SEEN_BIAS,
            window=window or None,
            stride=stride or None,
            window_batch=inference.WINDOW_BATCH,
            scales=tuple(inference.SCALES),
            flip=inference.FLIP,
            memory=inference.MEMORY * 2**20,
        )
