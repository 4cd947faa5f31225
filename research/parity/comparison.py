"""How far two arrays are apart, and how far they may be."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from research.parity.recording import Recording

# What a right implementation may differ by.
LOGITS = 1e-4
MASK_LOGITS = 1e-3
PIXELS = 1e-3
# Losses are sums of thousands of float32 numbers.
LOSSES = 1e-4


@dataclass(frozen=True)
class Comparison:
    """One recorded array, or a part of one, beside ours."""

    array: str
    difference: float
    tolerance: float
    measure: str
    """What the two numbers count."""
    part: str = ""

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance; NaN is not."""
        return self.difference <= self.tolerance

    @property
    def label(self) -> str:
        """Array and part, to read."""
        return f"{self.array} {self.part}".rstrip()


class Comparer:
    """Collects comparisons with one recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.comparisons: list[Comparison] = []
        self.not_recorded: list[str] = []
        """What we compute and the recording lacks."""

    def add(
        self, array: str, difference: float, tolerance: float, measure: str, part: str = ""
    ) -> None:
        """Note a difference that is already known."""
        self.comparisons.append(
            Comparison(array, float(difference), float(tolerance), measure, part)
        )

    def recorded(self, array: str) -> bool:
        """Whether there is something to compare with; if not, that is noted."""
        if array not in self.recording:
            self.not_recorded.append(array)
        return array in self.recording

    def values(self, array: str, ours: Tensor, tolerance: float) -> None:
        """Compare by the largest absolute difference.

        Arrays stored in float16 are compared beyond half a unit in their last place.
        """
        if not self.recorded(array):
            return
        wanted = self.recording.tensor(array)
        if ours.shape != wanted.shape:
            self.add(array, np.inf, tolerance, f"shape {_size(ours)} for {_size(wanted)}")
            return
        difference = (ours.float() - wanted).abs()
        measure = "absolute"
        if self.recording.numbers(array).dtype == np.float16:
            difference = (difference - wanted.abs() * 2.0**-11).clamp_min(0)
            measure = "absolute, beyond float16"
        self.add(array, difference.max().item() if wanted.numel() else 0, tolerance, measure)

    def loss(self, array: str, ours: Tensor) -> None:
        """Compare a scalar, relative to the recorded one."""
        if self.recorded(array):
            wanted = float(self.recording.numbers(array))
            difference = abs(ours.item() - wanted) / max(abs(wanted), 1e-12)
            self.add(array, difference, LOSSES, "relative")

    def pixels(self, array: str, ours: np.ndarray) -> None:
        """Compare a map of labels by the share of pixels that differ."""
        if not self.recorded(array):
            return
        wanted = self.recording.numbers(array)
        if ours.shape != wanted.shape:
            self.add(array, np.inf, PIXELS, f"shape {ours.shape} for {wanted.shape}")
            return
        self.add(array, np.mean(ours != wanted), PIXELS, "share of pixels")

    def count(self, array: str, differing: int, what: str) -> None:
        """Note how many things differ of what must be equal."""
        self.add(array, differing, 0, what)


def _size(value: Tensor) -> tuple[int, ...]:
    return tuple(value.shape)
