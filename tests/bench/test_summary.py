"""Means and intervals of a benchmark, by hand."""

import pytest

from pading.bench.summary import figure_of


def test_the_interval_is_over_seeds_of_one_fold() -> None:
    figure = figure_of({"": [10.0, 12.0, 14.0]})
    assert figure.mean == 12
    assert figure.half == pytest.approx(4.302653 * 2 / 3**0.5, rel=1e-6)
    assert str(figure) == "12.0 ± 5.0"
    assert figure.runs == 3


def test_the_interval_is_over_folds_where_there_are_several() -> None:
    figure = figure_of({"a": [10.0, 30.0], "b": [24.0]})
    assert figure.mean == 22
    assert figure.half == pytest.approx(12.706205 * 8**0.5 / 2**0.5, rel=1e-6)
    assert figure.runs == 3


def test_of_one_run_no_interval_is_known() -> None:
    assert str(figure_of({"": [10.0]})) == "10.0"
