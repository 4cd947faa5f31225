"""tools/benchmark_inference.py: every contestant takes its turns, in every stage."""

import json
import sys

import benchmark_inference
import inference_contestants
import pytest
import torch

from pading.errors import InputError
from tests.narrow import NARROW_OVERRIDES, SHAPES


def test_every_stage_is_timed(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.delenv(inference_contestants.CHECKOUT, raising=False)
    monkeypatch.setattr(benchmark_inference, "matrix_product", lambda *_: 100.0)
    options = ["--config-file", SHAPES, "--tasks", "panoptic", "instance", "semantic"]
    options += ["--size", 64, "--repeats", 2, "--json", *NARROW_OVERRIDES]
    monkeypatch.setattr(sys, "argv", ["benchmark_inference.py", *map(str, options)])
    benchmark_inference.main()
    report = json.loads(capsys.readouterr().out)
    types = list(inference_contestants.types_here(torch.device("cpu")))
    assert types[:2] == ["float32", "bfloat16"]
    assert list(report["milliseconds"]) == types
    assert report["segments"] > 0
    for name, stages in report["milliseconds"].items():
        parts = [taken for stage, taken in stages.items() if stage not in ("network", "all")]
        assert len(parts) == 4 and all(part > 0 for part in parts)
        assert 0 < report["best"][name] <= stages["all"]
        assert sum(parts[:3]) == pytest.approx(stages["network"])
        for stage, reached in report["share of the peak"][name].items():
            rate = report["gigaflop"][stage] / (stages[stage] / 1e3)
            assert reached == pytest.approx(rate / 100, abs=0.05 / stages[stage] * 10 + 1e-9)


def test_a_checkout_without_the_published_code_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(inference_contestants.CHECKOUT, str(tmp_path))
    with pytest.raises(InputError, match=str(tmp_path)):
        inference_contestants.published_segmenter(None)
