"""Tables and JSON of scores."""

import math

import numpy as np

from pading.evaluation.groups import Metric, Scores, summarise
from pading.evaluation.tables import class_table, comparison_table, group_table, without_nan
from pading.vocabulary.splits import ClassSplit


def scores_of(split: ClassSplit, values: list[float]) -> Scores:
    metric = Metric("PQ", np.array(values), harmonic=True, column="pq")
    return summarise("panoptic_seg", split, [metric], counts={"tp": np.arange(5)})


def cells(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


def test_group_table(split: ClassSplit) -> None:
    rows = cells(group_table(scores_of(split, [10, 20, math.nan, 33.33, math.nan])))
    assert rows[0] == ["%", "PQ"]
    assert ["seen", "21.1"] in rows
    assert ["unseen", "-"] in rows
    assert ["harmonic", "-"] in rows


def test_runs_side_by_side(split: ClassSplit) -> None:
    runs = {
        "before": scores_of(split, [10, 20, 0, 30, 0]),
        "after": scores_of(split, [10, 20, 40, 30, 20]),
    }
    rows = cells(comparison_table(runs, groups=("seen", "unseen", "harmonic")))
    assert rows[0] == ["%", "before", "after"]
    assert rows[3:] == [["seen", "20.0", "20.0"], ["unseen", "0.0", "30.0"]] + [
        ["harmonic", "0.0", "24.0"]
    ]


def test_class_table(split: ClassSplit) -> None:
    scores = scores_of(split, [10, 20, 40, 30, math.nan])
    rows = cells(class_table(scores))
    assert ["fox", "unseen", "40.0", "2"] in rows
    assert not any("sea" in row for row in rows)
    assert ["sea", "unseen", "-", "4"] in cells(class_table(scores, only_scored=False))


def test_json_without_nan() -> None:
    assert without_nan({"a": {"b": math.nan, "c": 1.5}, "d": 2}) == {
        "a": {"b": None, "c": 1.5},
        "d": 2,
    }
