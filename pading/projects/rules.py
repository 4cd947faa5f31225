"""What pading train chooses where a project's configuration does not say: one rule a key.

| key | rule |
|---|---|
| the network | the full one where its weights can be had, else a small one, from nothing |
| INPUT.IMAGE_SIZE, CROP_SIZE | the images' longer side, up to 1024; up to 256 of a small network |
| INPUT.MIN_SIZE_TEST, MAX_SIZE_TEST | the images at the size of the crop |
| SOLVER.IMS_PER_BATCH | 4 on a CPU; on a GPU as many as its memory holds, up to the published |
| SOLVER.REFERENCE_BATCH | the published batch: the learning rates are scaled to ours |
| SOLVER.MAX_ITER | 50 epochs, from 2000 iterations to the published; on a CPU 300 to 1000 |
| SOLVER.MAX_ITER of a stage on trained weights | the published, on a CPU at most 1200 |
| SOLVER.STEPS, WARMUP_ITERS | in proportion; a warm-up of a tenth at most |
| SOLVER.CHECKPOINT_PERIOD | a tenth of the iterations, at least 50 |
| SOLVER.AMP.DTYPE | bfloat16 on a GPU that has it, else float16; a CPU computes in float32 |
| DATALOADER.NUM_WORKERS | half the cores, up to 8; on two cores none |
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode

_LARGEST, _LARGEST_SMALL = 1024, 256
_MULTIPLE = 32
_EPOCHS = 50
_GPU_ITERATIONS, _CPU_ITERATIONS = (2000, 10**9), (300, 1000)
_CPU_LATER = 1200
_CPU_BATCH = 4
# An image of 1024 x 1024 in training, in gigabytes: a guess for R-50 with mixed precision, to be
# measured on a GPU.
_GIGABYTES = 4.0


@dataclass(frozen=True)
class Facts:
    """What the rules go by.

    Args:
        images: that are trained on.
        height, width: of an image, the medians.
        gpu_memory: gigabytes of one GPU; 0: training is on the CPU.
        bfloat16: whether the GPU computes in it.
        processes: that share the work.
        cores: of this machine.
        small: whether the network is the small one.
        first: whether the stage starts from a backbone or nothing, rather than from trained
            weights.
    """

    images: int
    height: int
    width: int
    gpu_memory: float
    bfloat16: bool
    processes: int
    cores: int
    small: bool
    first: bool


@dataclass(frozen=True)
class Choice:
    """A value that was chosen, and why."""

    key: str
    value: Any
    why: str


def choices(cfg: CfgNode, given: Mapping[str, Any], facts: Facts) -> Iterator[Choice]:
    """What the rules choose for a stage.

    Args:
        cfg: the stage's configuration before the user's: its schedule is the published one.
        given: keys that the user has set, with their values: no rule touches them, and others
            follow from them.
        facts: see there.
    """
    for choice in _all_choices(cfg, given, facts):
        if choice.key not in given:
            yield choice


def _all_choices(cfg: CfgNode, given: Mapping[str, Any], facts: Facts) -> Iterator[Choice]:
    solver = cfg.SOLVER
    crop = yield from _sizes(cfg, given, facts)
    published = solver.IMS_PER_BATCH
    batch, why = _batch(published, crop, facts)
    batch = given.get("SOLVER.IMS_PER_BATCH", batch)
    yield Choice("SOLVER.IMS_PER_BATCH", batch, why)
    if not solver.REFERENCE_BATCH and batch != published:
        yield Choice("SOLVER.REFERENCE_BATCH", published, "the rates are meant for this batch")
    chosen, why = _iterations(solver.MAX_ITER, batch, facts)
    iterations = given.get("SOLVER.MAX_ITER", chosen)
    yield Choice("SOLVER.MAX_ITER", iterations, why)
    share = iterations / solver.MAX_ITER
    steps = sorted({max(1, round(step * share)) for step in solver.STEPS})
    yield Choice("SOLVER.STEPS", steps, "in proportion")
    warm_up = min(solver.WARMUP_ITERS, iterations // 10)
    yield Choice("SOLVER.WARMUP_ITERS", warm_up, "a tenth of the iterations at most")
    yield Choice("SOLVER.CHECKPOINT_PERIOD", max(50, iterations // 10), "a tenth of the run")
    workers = 0 if facts.cores <= 2 else min(8, facts.cores // 2)
    yield Choice("DATALOADER.NUM_WORKERS", workers, f"{facts.cores} cores")
    if facts.gpu_memory:
        dtype = "bfloat16" if facts.bfloat16 else "float16"
        yield Choice("SOLVER.AMP.DTYPE", dtype, "what the GPU computes in")


def _sizes(cfg: CfgNode, given: Mapping[str, Any], facts: Facts) -> Generator[Choice, None, int]:
    """Choices of crop and test size; the crop's side is what the generator returns."""
    longer, shorter = max(facts.height, facts.width), min(facts.height, facts.width)
    limit = _LARGEST_SMALL if facts.small else _LARGEST
    side = min(limit, -(-longer // _MULTIPLE) * _MULTIPLE)
    why = f"images of {facts.width} x {facts.height}"
    if cfg.MODEL.INFERENCE.WINDOW:  # the crop is what the system looks at through a window
        return max(cfg.INPUT.CROP_SIZE)
    if cfg.INPUT.AUGMENTATION == "semantic":
        side = max(given.get("INPUT.CROP_SIZE", [side]))
        yield Choice("INPUT.CROP_SIZE", [side, side], why)
        yield Choice("INPUT.BASE_SIZE", [side, side], why)
    else:
        side = given.get("INPUT.IMAGE_SIZE", side)
        yield Choice("INPUT.IMAGE_SIZE", side, why)
    tested = min(side, round(side * shorter / longer))
    yield Choice("INPUT.MIN_SIZE_TEST", tested, "images at the size of the crop")
    yield Choice("INPUT.MAX_SIZE_TEST", 2 * side, "images at the size of the crop")
    return side


def _batch(published: int, crop: int, facts: Facts) -> tuple[int, str]:
    if not facts.gpu_memory:
        batch = min(_CPU_BATCH, facts.images) if facts.first else published
        why = "on a CPU"
    else:
        each = _GIGABYTES * (crop / 1024) ** 2 / (8 if facts.small else 1)
        fitting = max(1, int(facts.gpu_memory * 0.8 / each)) * facts.processes
        batch = published
        while batch > 1 and batch > fitting:
            batch //= 2
        why = f"{facts.gpu_memory:.0f} GB of memory, and a guess of {each:.1f} GB for an image"
    return max(1, batch // facts.processes) * facts.processes, why


def _iterations(published: int, batch: int, facts: Facts) -> tuple[int, str]:
    if not facts.first:
        if facts.gpu_memory:
            return published, "as published"
        return min(published, _CPU_LATER), f"on a CPU at most {_CPU_LATER}"
    least, most = _GPU_ITERATIONS if facts.gpu_memory else _CPU_ITERATIONS
    wanted = -(-_EPOCHS * facts.images // batch)
    return (
        min(published, most, max(least, wanted)),
        f"{_EPOCHS} epochs of {facts.images} images, within {least} and {min(published, most)}",
    )
