"""Seen-unseen calibration against loops."""

import pytest
import torch

from pading.inference.calibration import calibrated

SEEN = (0, 2)


@pytest.mark.parametrize("shape", [(4, 3, 5), (6, 5)], ids=["maps", "queries"])
def test_seen_classes_lose_the_bias(shape: tuple[int, ...], rng: torch.Generator) -> None:
    scores = torch.rand(shape, generator=rng, dtype=torch.float64)
    before = scores.clone()
    found = calibrated(scores, SEEN, 0.3)
    assert torch.equal(scores, before)
    by_class, wanted = (found, scores) if len(shape) == 3 else (found.T, scores.T)
    for i, (row, own) in enumerate(zip(by_class, wanted, strict=True)):
        # The unseen classes, and of queries the last, no-object, are as they were.
        assert torch.equal(row, own - 0.3 if i in SEEN else own)


def test_no_bias_gives_the_scores_back(rng: torch.Generator) -> None:
    scores = torch.rand(4, 3, 5, generator=rng)
    assert calibrated(scores, SEEN, 0.0) is scores
