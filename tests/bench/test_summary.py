"""Means and intervals of a benchmark, by hand."""

from pathlib import Path

import pytest

from pading.bench.plan import Cell, Row, Stage
from pading.bench.summary import figure_of, write_summary
from pading.files import write_json


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


def test_a_table_by_fold(tmp_path: Path) -> None:
    found = []
    row = Row("ours", (Stage("any", {}),))
    for number, (fold, seed) in enumerate((("a", 1), ("a", 2), ("b", 1))):
        path = tmp_path / f"{number}.json"
        metrics = {"PQ_seen": 60.0, "PQ_unseen": 10.0 * number, "PQ_harmonic": 1.0}
        report = {"metrics": {"panoptic_seg": metrics}, "per_class": {"panoptic_seg": {}}}
        write_json(path, report)
        found.append((Cell(row, fold, {}, seed), path))
    write_summary(tmp_path, "title", found, 4)
    page = (tmp_path / "table.md").read_text()
    assert "3 of 4 cells" in page
    table = page.split("PQ unseen by fold:")[1].split("by fold:")[0]
    assert [cell.strip() for cell in table.split("\n")[4].split("|")[1:-1]] == [
        "ours",
        "5.0",
        "20.0",
    ]
    write_summary(tmp_path, "title", found[:2], 4)
    assert "by fold" not in (tmp_path / "table.md").read_text()
