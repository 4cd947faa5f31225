"""tools/benchmark_stage_two.py: both sources are trained from, and the sums are right."""

import json
from pathlib import Path

import benchmark_stage_two as tool
import pytest

from pading.data.shapes.generation import ShapesSettings, generate
from pading.models.pading.embeddings import ImageEmbeddings, StoredEmbeddings
from pading.vocabulary.splits import load_split
from tests.runs import arguments, run

OPTIONS = "--iterations 10 --stored-images 40 --rounds 2 --image-steps 1 --stored-steps 3 --json"


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ShapesSettings(seed=0, train=4, val=1, size=64)
    generate(tmp_path / "shapes", load_split("shapes"), settings, workers=1)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))


def test_both_sources_are_timed(
    scenes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    steps = {ImageEmbeddings: 0, StoredEmbeddings: 0}
    for source in steps:

        def counted(self, iteration, source=source, starting_at=source.starting_at):
            for batch in starting_at(self, iteration):
                steps[source] += 1
                yield batch

        monkeypatch.setattr(source, "starting_at", counted)
    run(tool.main, *OPTIONS.split(), *arguments("PADing", tmp_path / "x"))
    report = json.loads(capsys.readouterr().out)
    # In every turn one step is not counted.
    assert steps == {ImageEmbeddings: 2 * 2, StoredEmbeddings: 2 * 4}
    images, stored = report["seconds"]["images"], report["seconds"]["stored"]
    assert images["store"] == 0 < stored["store"]
    for taken in (images, stored):
        assert 0 < taken["step, fastest turn"] <= taken["step"] <= taken["step, slowest turn"]
        assert taken["run"] == pytest.approx(taken["store"] + 10 * taken["step"])
    assert (report["stored images"], report["of which here"]) == (40, 4)
    assert report["ratio of runs"] == pytest.approx(images["run"] / stored["run"])


def test_stage_one_is_refused(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        run(tool.main, *arguments("pretrain", tmp_path / "x"))
    assert "stage 2 is timed" in capsys.readouterr().err
