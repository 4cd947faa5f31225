"""Every random draw of a training run, as a function of its seed and of where it is drawn.

Nothing random is carried from one iteration to the next, so a run that was interrupted needs only
its seed and its iteration to go on as if nothing had happened, whatever was prefetched.
"""

import enum
import random

import numpy as np
import torch


class Stream(enum.IntEnum):
    """What random numbers are for; streams of different purpose never meet."""

    ORDER = 0
    """Which images make up a batch; then the epoch or the iteration."""
    AUGMENTATION = 1
    """How an image is augmented; then iteration and place in the batch, or the image alone."""
    STEP = 2
    """Points, noise, dropout and drawn classes; then iteration and process."""
    EMBEDDINGS = 3
    """Points of the matching when embeddings are stored; then the batch's first image."""
    SAMPLE = 4
    """Which images of the training set are stored."""


def generator(seed: int, *where: int) -> np.random.Generator:
    """A NumPy generator of its own for one place of a run.

    Args:
        seed: of the run, at least 0.
        where: a :class:`Stream` and the place in it, each at least 0.
    """
    return np.random.default_rng(np.random.SeedSequence((seed, *where)))


def seed_everything(seed: int, *where: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices); see :func:`generator`.

    Detectron2's augmentations and most of torch draw from these.
    """
    state = np.random.SeedSequence((seed, *where)).generate_state(2)
    random.seed(int(state[0]))
    np.random.seed(state[0])
    number = int(state[0]) << 32 | int(state[1])
    if torch.cuda.is_available() or torch.xpu.is_available() or torch.backends.mps.is_available():
        torch.manual_seed(number)
    else:  # That would format the call stack for a device that may come: more work than a batch's.
        torch.default_generator.manual_seed(number)
