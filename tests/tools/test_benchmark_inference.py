"""tools/benchmark_inference.py: every version runs, in every stage."""

import json
import sys

import benchmark_inference
import pading_ops
import pytest

from tests.narrow import NARROW_OVERRIDES, SHAPES


@pytest.mark.skipif(not pading_ops.HAS_EXTENSION, reason="nothing to compare (BUILD_OPS=0)")
def test_every_stage_is_timed(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    called = []
    for name, op in dict(benchmark_inference._OPS).items():

        def recorded(*arguments, name=name, op=op):
            called.append(name)
            return op(*arguments)

        monkeypatch.setitem(benchmark_inference._OPS, name, recorded)
    options = ["--config-file", SHAPES, "--size", 64, "--repeats", 1, "--json", *NARROW_OVERRIDES]
    options += ["MODEL.INFERENCE.DTYPE", "bfloat16"]
    monkeypatch.setattr(sys, "argv", ["benchmark_inference.py", *map(str, options)])
    benchmark_inference.main()
    report = json.loads(capsys.readouterr().out)
    assert set(called) == {"plain PyTorch", "compiled op"}
    assert list(report["milliseconds"]) == ["plain PyTorch", "compiled op", "bfloat16"]
    for stages in report["milliseconds"].values():
        parts = [stages[name] for name in stages if name != "all"]
        assert len(parts) == 4 and all(part > 0 for part in parts)
        assert sum(parts) == pytest.approx(stages["all"])
