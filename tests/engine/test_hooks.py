"""What is said while a run goes on."""

import logging
from types import SimpleNamespace

import pytest

from pading.engine import hooks


@pytest.mark.parametrize("start", [0, 100], ids=["anew", "resumed"])
def test_the_time_that_is_left(
    start: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first steps take ten seconds each, the others two."""
    clock = iter([40.0, 40.0 + 2 * 15])
    monkeypatch.setattr(hooks.time, "perf_counter", lambda: next(clock))
    estimate = hooks.TimeEstimate()
    with caplog.at_level(logging.INFO, logger="pading.engine.hooks"):
        for step in range(start, start + 30):
            estimate.trainer = SimpleNamespace(iter=step, start_iter=start, max_iter=320)
            estimate.after_step()
    [told] = caplog.messages
    left = 320 - start - 20
    minutes = left * 2 / 60
    assert told.startswith(
        f"{left} steps are left, which will take about {minutes:.0f} min at 2.00"
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(40.4, "40 s"), (89, "89 s"), (90, "2 min"), (5500, "1.5 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert hooks.duration(seconds) == text
