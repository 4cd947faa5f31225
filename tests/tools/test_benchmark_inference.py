"""tools/benchmark_inference.py: every contestant takes its turns, in every stage."""

import json
import sys

import benchmark_inference
import pytest

from pading.errors import InputError
from tests.narrow import NARROW_OVERRIDES, SHAPES


def test_every_stage_is_timed(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.delenv(benchmark_inference.CHECKOUT, raising=False)
    monkeypatch.setattr(benchmark_inference, "matrix_product", lambda *_: 100.0)
    options = ["--config-file", SHAPES, "--tasks", "panoptic", "instance", "semantic"]
    options += ["--size", 64, "--repeats", 2, "--json", *NARROW_OVERRIDES]
    monkeypatch.setattr(sys, "argv", ["benchmark_inference.py", *map(str, options)])
    benchmark_inference.main()
    report = json.loads(capsys.readouterr().out)
    assert list(report["milliseconds"]) == ["float32", "bfloat16"]
    for name, stages in report["milliseconds"].items():
        parts = [taken for stage, taken in stages.items() if stage not in ("network", "all")]
        assert len(parts) == 4 and all(part > 0 for part in parts)
        assert 0 < report["best"][name] <= stages["all"]
        reached = report["gigaflop"] / (stages["network"] / 1e3) / 100
        assert report["share of the peak"][name] == pytest.approx(reached)


def test_a_checkout_without_the_published_code_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(benchmark_inference.CHECKOUT, str(tmp_path))
    with pytest.raises(InputError, match=str(tmp_path)):
        benchmark_inference.published_segmenter(None)
