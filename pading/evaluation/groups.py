"""Seen, unseen and harmonic: the one place where values of classes become figures of a split."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pading.vocabulary.splits import ClassSplit

GROUPS = ("all", "things", "stuff", "seen", "unseen", "harmonic")


@dataclass(frozen=True)
class Metric:
    """One figure per class, and how a group's figure follows from those of its classes.

    Args:
        label: the name in Detectron2's flat results ("PQ"); lower case in the files ("pq").
        values: K numbers in per cent, NaN for a class that is left out of every mean.
        weights: K weights of the mean (frequency-weighted IoU, pixel accuracy); None weighs alike.
        harmonic: whether the harmonic mean of seen and unseen is reported for it.
        column: the key of ``values`` in the table of classes; None where they stand there already.
    """

    label: str
    values: np.ndarray
    weights: np.ndarray | None = None
    harmonic: bool = False
    column: str | None = None

    def mean(self, classes: Sequence[int]) -> float:
        """Mean over ``classes`` (contiguous indices); NaN where none of them has a value."""
        index = np.asarray(classes, dtype=np.int64)
        values = np.asarray(self.values, dtype=np.float64)[index]
        weights = np.ones(len(index)) if self.weights is None else self.weights[index]
        counted = ~np.isnan(values) & (weights > 0)
        if not counted.any():
            return math.nan
        return float(np.average(values[counted], weights=weights[counted]))


@dataclass(frozen=True)
class Scores:
    """What a task scored, in the three shapes that its readers want.

    Args:
        task: Detectron2's name of the task: "panoptic_seg", "sem_seg", "segm" or "bbox".
        groups: group -> metric label -> per cent; NaN where no class of the group has a value.
        per_class: class name -> what is known of the class, "seen" (bool) included.
    """

    task: str
    groups: dict[str, dict[str, float]]
    per_class: dict[str, dict[str, float | int | bool]]

    def flat(self) -> dict[str, float]:
        """Detectron2's shape: "PQ" for all classes, "PQ_unseen" for a group."""
        return {
            label if group == "all" else f"{label}_{group}": value
            for group, values in self.groups.items()
            for label, value in values.items()
        }

    @classmethod
    def from_report(cls, task: str, report: Mapping[str, Any]) -> "Scores":
        """One task of a ``results.json`` (a None there was NaN).

        Args:
            task: of the report's ``metrics``.
            report: the content of the file.
        """
        groups: dict[str, dict[str, float]] = {}
        for key, value in report["metrics"][task].items():
            label, _, group = key.rpartition("_")
            label, group = (label, group) if group in GROUPS else (key, "all")
            groups.setdefault(group, {})[label] = math.nan if value is None else value
        classes = report["per_class"][task].items()
        return cls(
            task,
            groups,
            {n: {k: math.nan if v is None else v for k, v in row.items()} for n, row in classes},
        )

    def nested(self) -> dict[str, dict[str, float]]:
        """The files' shape: group -> metric in lower case -> per cent."""
        return {
            group: {label.lower(): value for label, value in values.items()}
            for group, values in self.groups.items()
        }


def harmonic_mean(seen: float, unseen: float) -> float:
    """2 s u / (s + u); 0 where both are 0, NaN where either is."""
    if math.isnan(seen) or math.isnan(unseen):
        return math.nan
    return 2 * seen * unseen / (seen + unseen) if seen + unseen > 0 else 0.0


def summarise(
    task: str,
    split: ClassSplit,
    metrics: Iterable[Metric],
    counts: Mapping[str, np.ndarray] | None = None,
    groups: Sequence[str] = GROUPS,
) -> Scores:
    """Average per-class values over the groups of a split.

    Args:
        task: see :class:`Scores`.
        split: the classes; the values of every metric follow its contiguous order.
        metrics: the figures to average.
        counts: further whole numbers per class for the table (such as true positives), K each.
        groups: those to report, of :data:`GROUPS`; a group without a class in the split is left
            out, and the harmonic mean with it where seen or unseen classes are.
    """
    metrics = list(metrics)
    members = {
        "all": range(split.num_classes),
        "things": split.things,
        "stuff": split.stuff,
        "seen": split.seen,
        "unseen": split.unseen,
    }
    averaged = {
        group: {metric.label: metric.mean(members[group]) for metric in metrics}
        for group in groups
        if group != "harmonic" and members[group]
    }
    if "harmonic" in groups and {"seen", "unseen"} <= averaged.keys():
        averaged["harmonic"] = {
            m.label: harmonic_mean(averaged["seen"][m.label], averaged["unseen"][m.label])
            for m in metrics
            if m.harmonic
        }
    columns = {metric.column: metric.values for metric in metrics if metric.column}
    per_class = {
        info.name: {
            "seen": not info.unseen,
            **{column: float(values[i]) for column, values in columns.items()},
            **{name: int(values[i]) for name, values in (counts or {}).items()},
        }
        for i, info in enumerate(split.classes)
    }
    return Scores(task, averaged, per_class)
