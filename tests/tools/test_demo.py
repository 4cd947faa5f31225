"""All three tasks on a few synthetic scenes, by the demo's own sequence of commands."""

import json
import math
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import demo
import pytest

from pading.vocabulary.splits import load_split
from tests.browsing import BrowserPage
from tests.runs import TINY, run

pytestmark = pytest.mark.usefixtures("tiny_scenes")

EVERYTHING = ("MODEL.INFERENCE.SEMANTIC_ON", "True", "MODEL.INFERENCE.INSTANCE_ON", "True")
GROUPS = {"all", "seen", "unseen", "harmonic"}


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's commands without five starts of Python; the scenes are there already."""

    def run_here(script: Path, *arguments: object) -> None:
        if script.stem != "prepare_shapes":
            run(lambda: runpy.run_path(str(script), run_name="__main__"), *arguments)

    monkeypatch.setattr(demo, "run", run_here)


def run_demo(task: str, output: Path, *more: str) -> dict[str, Any]:
    tiny = [str(part) for pair in TINY.items() for part in pair]
    run(demo.main, "--task", task, "--output", output, "--scenes", 1, *tiny, *more)
    return json.loads((output / "results.json").read_text())


def check_report(browser: Any, path: Path, images: int) -> None:
    """It opens from disk, without an error and without asking for another file."""
    assert path.stat().st_size < 20e6
    with BrowserPage(browser) as page:
        page.goto(path.as_uri())
        shown = page.locator("img")
        assert shown.count() >= 3 * images
        assert all(shown.nth(n).evaluate("i => i.naturalWidth") for n in range(shown.count()))
        assert page.get_by_role("rowheader", name="harmonic").first.is_visible()
        assert page.get_by_role("columnheader", name="pretrain").first.is_visible()


def figures(values: Any) -> Iterator[float]:
    for value in values.values():
        yield from figures(value) if isinstance(value, dict) else [value]


def check(scores: dict[str, Any], groups: set[str], metric: str) -> None:
    """Every group has the metric, and every figure is a share of 100."""
    assert groups <= set(scores)
    assert all(metric in scores[group] for group in groups)
    for value in figures(scores):
        assert math.isfinite(value) and 0 <= value <= 100


def test_panoptic_with_all_results_of_the_one_model(tmp_path: Path, capsys, browser) -> None:
    results = run_demo("panoptic", tmp_path, *EVERYTHING)
    after = results["after_stage_2"]
    check(after["panoptic_seg"], {*GROUPS, "things", "stuff"}, "pq")
    check(after["sem_seg"], {*GROUPS, "things", "stuff"}, "miou")
    check(after["segm"], GROUPS, "ap50")
    check(after["bbox"], GROUPS, "recall60")
    report = json.loads(
        (tmp_path / "PADing" / "inference" / "shapes_panoptic_val" / "results.json").read_text()
    )
    flat = report["metrics"]
    assert flat["panoptic_seg"]["PQ_seen"] == after["panoptic_seg"]["seen"]["pq"]
    assert flat["segm"]["AP50_unseen"] == after["segm"]["unseen"]["ap50"]
    assert flat["sem_seg"]["mIoU_harmonic"] == after["sem_seg"]["harmonic"]["miou"]
    assert set(report["per_class"]) == {"panoptic_seg", "sem_seg", "segm", "bbox"}
    assert (tmp_path / "scenes.png").is_file()
    assert "before stage 2" in capsys.readouterr().out
    check_report(browser, tmp_path / "report.html", images=9)


def test_instance_in_both_settings(tmp_path: Path, browser) -> None:
    results = run_demo("instance", tmp_path)
    for task in ("segm", "bbox"):
        check(results["before_stage_2"][task], GROUPS, "ap50")
        check(results["after_stage_2"][task], GROUPS, "ap")
        assert set(results["zsi"][task]) == {"unseen"}
        check(results["zsi"][task], {"unseen"}, "recall50")
    # One key restricts the model, with the same weights: seen classes are no candidates.
    split = load_split("shapes")
    unseen = {split.classes[i].id for i in split.unseen}
    assert not categories(tmp_path / "PADing") <= unseen
    assert categories(tmp_path / "zsi") <= unseen
    check_report(browser, tmp_path / "report.html", images=3)


def categories(output: Path) -> set[int]:
    """Those of all stored detections."""
    [path] = output.rglob("instance_predictions.json")
    found = {detection["category_id"] for detection in json.loads(path.read_text())}
    assert found
    return found


def test_semantic(tmp_path: Path) -> None:
    results = run_demo("semantic", tmp_path)
    for stage in ("before_stage_2", "after_stage_2"):
        check(results[stage], {*GROUPS, "things", "stuff"}, "miou")
    # A head of the seen classes alone finds nothing unseen.
    assert results["before_stage_2"]["unseen"]["miou"] == 0
