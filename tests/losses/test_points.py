"""Masks at points: where the points lie, and what is read there."""

import pytest
import torch
from torch.nn import functional as F

from pading.losses.points import random_points, sample_points, uncertain_points


def test_centres_give_the_cells_themselves(rng: torch.Generator) -> None:
    masks = torch.randn(2, 3, 4, 5, generator=rng, dtype=torch.float64)
    y, x = torch.meshgrid((torch.arange(4) + 0.5) / 4, (torch.arange(5) + 0.5) / 5, indexing="ij")
    points = torch.stack((x, y), dim=-1).double().reshape(1, -1, 2).expand(2, -1, -1)
    read = sample_points(masks, points)
    torch.testing.assert_close(read, masks.flatten(2), atol=1e-5, rtol=1e-5)


def test_between_the_centres_is_bilinear() -> None:
    masks = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    points = torch.tensor([[[0.5, 0.5], [0.5, 0.25], [0.0, 0.25]]])
    # At the left edge half of the weight lies outside, where masks are zero.
    torch.testing.assert_close(sample_points(masks, points), torch.tensor([[[3.0, 1.5, 0.5]]]))


@pytest.mark.parametrize("importance", [0.0, 0.75, 1.0])
def test_uncertain_points_are_in_range_and_as_many_as_asked(
    importance: float, rng: torch.Generator
) -> None:
    logits = torch.randn(3, 8, 9, generator=rng)
    points = uncertain_points(logits, 50, 3.0, importance)
    assert points.shape == (3, 50, 2)
    assert (points >= 0).all()
    assert (points <= 1).all()


def test_uncertain_points_are_the_most_uncertain_candidates(
    rng: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.randn(2, 8, 9, generator=rng)
    candidates = torch.rand(2, 60, 2, generator=rng)
    uniform = torch.rand(2, 5, 2, generator=rng)
    draws = iter([candidates, uniform])
    monkeypatch.setattr("pading.losses.points.random_points", lambda *_: next(draws))
    points = uncertain_points(logits, 20, 3.0, 0.75)
    torch.testing.assert_close(points[:, 15:], uniform)
    for mask, chosen, drawn in zip(logits, points[:, :15], candidates, strict=True):
        certainty = sample_points(mask[None, None], drawn[None])[0, 0].abs()
        wanted = drawn[certainty.argsort()[:15]]
        assert {tuple(p) for p in chosen.tolist()} == {tuple(p) for p in wanted.tolist()}


def test_without_masks_there_are_no_points() -> None:
    assert uncertain_points(torch.zeros(0, 8, 9), 20, 3.0, 0.75).shape == (0, 20, 2)


def test_random_points_cover_the_square(seed: int) -> None:
    points = random_points(1, 20000, torch.device("cpu"))
    counts = torch.histogramdd(points[0], bins=[4, 4], range=[0.0, 1.0, 0.0, 1.0]).hist
    assert counts.sum() == 20000
    # 1250 expected in each cell, with a standard deviation of 34.
    assert (counts - 1250).abs().max() < 7 * 34


def test_large_masks_are_read_as_interpolation_does(rng: torch.Generator) -> None:
    masks = torch.randn(1, 1, 6, 6, generator=rng)
    y, x = torch.meshgrid((torch.arange(3) + 0.5) / 3, (torch.arange(3) + 0.5) / 3, indexing="ij")
    points = torch.stack((x, y), dim=-1).reshape(1, -1, 2)
    smaller = F.interpolate(masks, (3, 3), mode="bilinear", align_corners=False)
    torch.testing.assert_close(sample_points(masks, points)[0, 0], smaller.flatten())
