"""The curve of seen against unseen: what the dial gives, and what is drawn and reported of it."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from pading.errors import InputError
from pading.files import field


@dataclass(frozen=True)
class Point:
    """Per cent at one value of SEEN_BIAS."""

    bias: float
    seen: float
    unseen: float
    harmonic: float


@dataclass(frozen=True)
class Curve:
    """Seen against unseen.

    Args:
        task: Detectron2's name of the task.
        figure: what the points hold.
        points: by ascending bias.
    """

    task: str
    figure: str
    points: tuple[Point, ...]

    @property
    def best(self) -> Point:
        """Where the harmonic mean is largest; of equals the one nearest to 0."""
        return max(self.points, key=lambda point: (point.harmonic, -abs(point.bias)))

    @property
    def area(self) -> float:
        """Under unseen over seen, of the square of 100 by 100 per cent: in [0, 1].

        The curve ends level at seen = 0, and falls straight down at the largest seen.
        """
        ordered = sorted(self.points, key=lambda point: (point.seen, -point.unseen))
        seen = np.array([0.0, *(point.seen for point in ordered)]) / 100
        unseen = np.array([ordered[0].unseen, *(point.unseen for point in ordered)]) / 100
        return float(((unseen[1:] + unseen[:-1]) / 2 * np.diff(seen)).sum())

    @classmethod
    def from_record(cls, task: str, record: Any) -> "Curve":
        """Out of :meth:`record`, as JSON has it: null where a score is not a number.

        Raises:
            InputError: it is none.
        """
        rows = field(record, "points", list, task)
        if not rows:
            raise InputError(f"{task}: it has no points")
        points = tuple(_point(row, task) for row in rows)
        return cls(task, field(record, "figure", str, task), points)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        points = [asdict(point) for point in self.points]
        return {
            "figure": self.figure,
            "area": self.area,
            "best": asdict(self.best),
            "points": points,
        }


def _point(row: Any, task: str) -> Point:
    values = (field(row, f.name, (int, float, type(None)), task) for f in fields(Point))
    return Point(*(math.nan if value is None else value for value in values))
