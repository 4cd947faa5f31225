"""Reports of stored runs, opened in a browser; those of the demos are in tests/tools."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from pading.errors import InputError
from pading.reports.html_report import write_report
from pading.reports.run_comparison import columns_of, group_rows
from pading.reports.stored_results import named, read_run
from tests.browsing import BrowserPage

pytestmark = pytest.mark.usefixtures("tiny_scenes")
RESULTS = Path("inference", "shapes_panoptic_val", "results.json")


@pytest.fixture
def seeds(stage_one: Path, tmp_path: Path) -> list[Path]:
    """Three runs as if with other seeds, whose seen PQ is 10, 20 and 60."""
    folders = []
    for seed, quality in enumerate((10.0, 20.0, 60.0)):
        folder = tmp_path / f"seed{seed}"
        shutil.copytree(stage_one, folder, ignore=shutil.ignore_patterns("*.pth"))
        change(
            folder / "run.json", lambda r, s=seed: r["starts"][-1]["configuration"].update(SEED=s)
        )
        change(
            folder / RESULTS, lambda r, q=quality: r["metrics"]["panoptic_seg"].update(PQ_seen=q)
        )
        folders.append(folder)
    return folders


def change(path: Path, edit: Any) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_differences_and_the_interval_over_seeds(seeds: list[Path]) -> None:
    runs = named([read_run(folder) for folder in seeds])
    columns = columns_of(runs)
    assert [c.heading for c in columns] == ["seed0", "seed1", "seed2", "mean of 3 seeds"]
    rows = dict(group_rows(runs, columns, "shapes_panoptic_val", "panoptic_seg"))
    cells = rows["seen"]
    assert [cell.value for cell in cells] == pytest.approx([10, 20, 60, 30])
    assert [cell.difference for cell in cells[1:3]] == [10, 50]
    low, high = stats.t.interval(0.95, 2, loc=30, scale=stats.sem([10, 20, 60]))
    assert cells[3].interval == pytest.approx((high - low) / 2)
    assert math.isnan(cells[0].difference)


def test_runs_of_one_seed_have_no_interval(seeds: list[Path]) -> None:
    change(seeds[1] / "run.json", lambda r: r["starts"][-1]["configuration"].update(SEED=0))
    runs = named([read_run(folder) for folder in seeds[:2]])
    assert len(columns_of(runs)) == 2


def test_two_runs_in_the_browser(seeds: list[Path], tmp_path: Path, browser: Any) -> None:
    points = [
        {"bias": b, "seen": 60.0 - 100 * b, "unseen": 100 * b, "harmonic": 7.0 + b}
        for b in (0.0, 0.2, 0.4)
    ]
    curve = {"figure": "PQ", "area": 0.1, "best": points[2], "points": points}
    dial = seeds[1] / "dial" / "shapes_panoptic_val" / "dial.json"
    dial.parent.mkdir(parents=True)
    dial.write_text(json.dumps({"panoptic_seg": curve}))
    path = write_report(seeds[0], seeds[1:2], tmp_path / "both.html")
    assert path == tmp_path / "both.html" and path.stat().st_size < 20e6
    with BrowserPage(browser) as page:
        page.goto(path.as_uri())
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="seen")).first
        assert row.locator("td").all_inner_texts()[0].strip() == "10.0"
        assert "+10.0" in row.locator("td").nth(1).inner_text()
        assert page.locator("img").count() >= 6
        picture = page.get_by_role("img", name="PQ of unseen over seen classes")
        assert picture.is_visible()
        height = float(picture.locator("rect").get_attribute("height") or 0)
        circle = picture.locator("circle")
        assert float(circle.get_attribute("cy") or 0) == pytest.approx(0.6 * height, abs=0.1)
        best = page.locator("#dials ~ div table").first.locator("tr.main")
        assert best.all_inner_texts() == ["0.4\t20.0\t40.0\t7.4"]
        table = page.locator("table.sortable").first
        for order in ("descending", "ascending"):
            table.get_by_role("button", name="fn").click()
            assert table.locator("th[aria-sort]").get_attribute("aria-sort") == order
            counts = [
                int(text) for text in table.locator("tbody tr td:last-child").all_inner_texts()
            ]
            assert counts == sorted(counts, reverse=order == "descending")
            assert len({*counts}) > 1


def test_markup_in_names_is_text(seeds: list[Path], browser: Any) -> None:
    name = "<img src=x onerror='window.ran = 1'><script>window.ran = 1</script>"
    change(
        seeds[0] / RESULTS,
        lambda r: r["per_class"]["panoptic_seg"].update(
            {name: {"seen": False, "pq": 1.0, "sq": 1.0, "rq": 1.0, "tp": 1, "fp": 0, "fn": 0}}
        ),
    )
    path = write_report(seeds[0])
    assert path == seeds[0] / "report.html"
    with BrowserPage(browser) as page:
        page.goto(path.as_uri())
        assert page.get_by_role("cell", name=name).is_visible()
        assert page.evaluate("window.ran") is None
        assert "No pictures: the data set" in page.get_by_role("note").inner_text()


def test_without_the_data_there_are_no_pictures(
    seeds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "elsewhere"))
    text = write_report(seeds[0] / RESULTS).read_text()
    assert "No pictures: " in text and "elsewhere" in text and "<img" not in text


def test_what_the_weights_were_trained_by_stands_beside(seeds: list[Path]) -> None:
    weights = str(seeds[1] / "model_final.pth")
    change(
        seeds[0] / "run.json",
        lambda r: r["starts"][-1]["configuration"]["MODEL"].update(WEIGHTS=weights),
    )
    assert "+10.0" in write_report(seeds[0]).read_text()


def test_bad_inputs(seeds: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        write_report(tmp_path / "nothing")
    with pytest.raises(InputError, match="no results there"):
        write_report(tmp_path)
    dial = seeds[0] / "dial" / "val" / "dial.json"
    dial.parent.mkdir(parents=True)
    dial.write_text('{"panoptic_seg": {"figure": "PQ", "best": {}, "points": []}}')
    with pytest.raises(InputError, match=r"dial\.json: holds no curve of the dial"):
        write_report(seeds[0])
    dial.unlink()
    with pytest.raises(InputError, match="given twice"):
        write_report(seeds[0], seeds[:1])
    (tmp_path / "results.json").write_text('{"minutes": 3, "before": {}}')
    with pytest.raises(InputError, match=r"results\.json: is no results\.json of an evaluation"):
        write_report(tmp_path / "results.json")
    change(seeds[1] / RESULTS, lambda r: r.update(split="coco"))
    with pytest.raises(InputError, match="compare runs of the same classes"):
        write_report(seeds[0], seeds[1:])
    change(seeds[2] / RESULTS, lambda r: r.update(dataset="other"))
    with pytest.raises(InputError, match="no data set that all runs were scored on"):
        write_report(seeds[0], seeds[2:])
    with pytest.raises(InputError, match="cannot"):
        write_report(seeds[0], output="/dev/null/x.html")
    assert not list(tmp_path.rglob("*.html"))
