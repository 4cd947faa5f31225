"""Means and intervals of a benchmark, by hand."""

from pathlib import Path

import pytest

from pading.bench.plan import Cell, Row, Stage
from pading.bench.summary import difference, figure_of, write_summary
from pading.files import read_json, write_json


def test_the_interval_is_over_seeds_of_one_fold() -> None:
    figure = figure_of({"": {1: 10.0, 2: 12.0, 3: 14.0}})
    assert figure.mean == 12
    assert figure.half == pytest.approx(4.302653 * 2 / 3**0.5, rel=1e-6)
    assert format(figure) == "12.0 ± 5.0"
    assert figure.runs == 3


def test_the_interval_is_over_folds_where_there_are_several() -> None:
    figure = figure_of({"a": {1: 10.0, 2: 30.0}, "b": {1: 24.0}})
    assert figure.mean == 22
    assert figure.half == pytest.approx(12.706205 * 8**0.5 / 2**0.5, rel=1e-6)
    assert figure.runs == 3


def test_of_one_run_no_interval_is_known() -> None:
    assert format(figure_of({"": {1: 10.0}})) == "10.0"


def test_differences_are_of_the_same_folds() -> None:
    first = {"a": {1: 50.0, 2: 52.0}, "b": {1: 10.0}, "c": {1: 99.0}}
    # 3 and 5 more: the folds themselves are 41 apart.
    figure = difference({"a": {1: 54.0}, "b": {1: 14.0, 2: 16.0}}, first)
    assert figure is not None
    assert figure.mean == 4
    assert figure.half == pytest.approx(12.706205 * 2**0.5 / 2**0.5, rel=1e-6)
    assert format(figure, "+.1f") == "+4.0 ± 12.7"


def test_differences_on_one_fold_are_of_the_same_seeds() -> None:
    figure = difference({"a": {1: 2.0, 2: 5.0, 4: 50.0}}, {"a": {2: 4.0, 1: 3.0, 3: 0.0}})
    assert figure is not None
    assert (figure.mean, figure.runs) == (0, 2)
    assert difference({"a": {1: 2.0}}, {"a": {2: 4.0}}) is None
    assert difference({"a": {1: 2.0}}, {"b": {1: 4.0}}) is None


def test_a_table_by_fold(tmp_path: Path) -> None:
    found = []
    rows = [Row(name, (Stage("any", {}),)) for name in ("ours", "theirs")]
    places = [(rows[0], "a", 1), (rows[0], "a", 2), (rows[0], "b", 1), (rows[1], "a", 1)]
    for number, (row, fold, seed) in enumerate(places):
        path = tmp_path / f"{number}.json"
        metrics = {"PQ_seen": 60.0, "PQ_unseen": 10.0 * number, "PQ_harmonic": 1.0}
        report = {"metrics": {"panoptic_seg": metrics}, "per_class": {"panoptic_seg": {}}}
        write_json(path, report)
        found.append((Cell(row, fold, {}, seed), path))
    write_summary(tmp_path, "title", found, 5)
    page = (tmp_path / "table.md").read_text()
    assert "4 of 5 cells" in page
    [line] = page.split("Less those of ours")[1].split("PQ seen by fold")[0].splitlines()[4:5]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == ["theirs", "+0.0", "+30.0", "+0.0"]
    written = read_json(tmp_path / "results.json")
    assert written["differences"]["theirs"]["PQ unseen"]["mean"] == 30
    table = page.split("PQ unseen by fold:")[1].split("by fold:")[0]
    assert [cell.strip() for cell in table.split("\n")[4].split("|")[1:-1]] == [
        "ours",
        "5.0",
        "20.0",
    ]
    write_summary(tmp_path, "title", found[:2], 5)
    page = (tmp_path / "table.md").read_text()
    assert "by fold" not in page and "Less those" not in page
