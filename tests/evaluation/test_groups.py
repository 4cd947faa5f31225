"""Group means against their definitions."""

import json
import math

import numpy as np
import pytest

from pading.evaluation.groups import Metric, Scores, harmonic_mean, summarise
from pading.evaluation.tables import without_nan
from pading.vocabulary.splits import ClassInfo, ClassSplit


def test_means_leave_out_classes_without_a_value(split: ClassSplit) -> None:
    values = np.array([10.0, np.nan, 40.0, 30.0, np.nan])
    groups = summarise("sem_seg", split, [Metric("mIoU", values, harmonic=True)]).groups
    assert groups == {
        "all": {"mIoU": pytest.approx(80 / 3)},
        "things": {"mIoU": 25.0},
        "stuff": {"mIoU": 30.0},
        "seen": {"mIoU": 20.0},
        "unseen": {"mIoU": 40.0},
        "harmonic": {"mIoU": pytest.approx(2 * 20 * 40 / 60)},
    }


def test_a_group_whose_classes_have_no_value_is_nan(split: ClassSplit) -> None:
    values = np.array([10.0, 20.0, np.nan, 30.0, np.nan])
    groups = summarise("sem_seg", split, [Metric("mIoU", values, harmonic=True)]).groups
    assert groups["seen"]["mIoU"] == 20.0
    assert math.isnan(groups["unseen"]["mIoU"])
    assert math.isnan(groups["harmonic"]["mIoU"])


def test_weighted_means(split: ClassSplit, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values, weights = generator.random(5) * 100, generator.integers(1, 1000, 5)
    groups = summarise("sem_seg", split, [Metric("fwIoU", values, weights)]).groups
    assert groups["all"]["fwIoU"] == pytest.approx((values * weights).sum() / weights.sum())
    unseen = [2, 4]
    expected = (values * weights)[unseen].sum() / weights[unseen].sum()
    assert groups["unseen"]["fwIoU"] == pytest.approx(expected)
    assert groups["harmonic"] == {}


def test_groups_without_a_class_are_left_out() -> None:
    only_things = ClassSplit("things", (ClassInfo(1, "cat", isthing=True, unseen=False),))
    scores = summarise("segm", only_things, [Metric("AP", np.array([12.0]), harmonic=True)])
    assert set(scores.groups) == {"all", "things", "seen"}


def test_only_the_groups_asked_for(split: ClassSplit) -> None:
    scores = summarise("segm", split, [Metric("AP50", np.arange(5.0))], groups=("unseen",))
    assert scores.groups == {"unseen": {"AP50": 3.0}}


def test_names_in_both_shapes(split: ClassSplit) -> None:
    metrics = [
        Metric("PQ", np.arange(5.0), harmonic=True, column="pq"),
        Metric("SQ", np.arange(5.0)),
    ]
    scores = summarise("panoptic_seg", split, metrics, counts={"tp": np.arange(5)})
    assert {"PQ", "SQ", "PQ_things", "SQ_stuff", "PQ_seen", "SQ_unseen"} <= scores.flat().keys()
    assert "PQ_harmonic" in scores.flat() and "SQ_harmonic" not in scores.flat()
    assert scores.nested()["unseen"] == {"pq": 3.0, "sq": 3.0}
    assert list(scores.per_class) == list(split.names)
    assert scores.per_class["fox"] == {"seen": False, "pq": 2.0, "tp": 2}


def test_scores_of_a_stored_report(split: ClassSplit) -> None:
    values = np.array([1.0, np.nan, np.nan, 4.0, np.nan])
    metrics = [
        Metric("pixel_accuracy", values, harmonic=True, column="accuracy"),
        Metric("recall50", values),
    ]
    scores = summarise("sem_seg", split, metrics)
    report = {"metrics": {"sem_seg": scores.flat()}, "per_class": {"sem_seg": scores.per_class}}
    stored = json.loads(json.dumps(without_nan(report)))
    assert stored["metrics"]["sem_seg"]["recall50_unseen"] is None
    assert repr(Scores.from_report("sem_seg", stored)) == repr(scores)  # NaN equals no NaN


@pytest.mark.parametrize(
    ("seen", "unseen", "expected"), [(30.0, 20.0, 24.0), (30.0, 0.0, 0.0), (0.0, 0.0, 0.0)]
)
def test_harmonic_mean(seen: float, unseen: float, expected: float) -> None:
    assert harmonic_mean(seen, unseen) == pytest.approx(expected)
