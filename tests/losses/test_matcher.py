"""The matching: its cost against naive sums, its optimum against trying every pairing."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from pading.losses.matcher import LossWeights, match, pairing_cost
from pading.losses.points import random_points, sample_points
from pading.structures import MaskTargets, QueryPredictions

WEIGHTS = LossWeights(classes=2.0, mask=5.0, dice=3.0)
CLASSES = 4


def predictions(rng: torch.Generator, batch: int, queries: int) -> QueryPredictions:
    return QueryPredictions(
        torch.randn(batch, queries, CLASSES + 1, generator=rng, dtype=torch.float64),
        3 * torch.randn(batch, queries, 8, 8, generator=rng, dtype=torch.float64),
        torch.zeros(batch, queries, 1),
    )


def segments(rng: torch.Generator, count: int) -> MaskTargets:
    return MaskTargets(
        torch.randint(CLASSES, (count,), generator=rng),
        torch.rand(count, 32, 32, generator=rng) < 0.4,
    )


def naive_cost(logits: Tensor, mask: Tensor, label: int, wanted: Tensor) -> float:
    """Of one query and one target; mask and wanted at the same points."""
    exponentials = [math.exp(value) for value in logits.tolist()]
    class_cost = -exponentials[label] / sum(exponentials)
    entropy = overlap = size = 0.0
    for logit, t in zip(mask.tolist(), wanted.tolist(), strict=True):
        p = 1 / (1 + math.exp(-logit))
        entropy -= t * math.log(p) + (1 - t) * math.log(1 - p)
        overlap += 2 * p * t
        size += p + t
    dice = 1 - (overlap + 1) / (size + 1)
    mask_cost = entropy / len(wanted)
    return WEIGHTS.classes * class_cost + WEIGHTS.mask * mask_cost + WEIGHTS.dice * dice


def test_cost_equals_naive_sums(rng: torch.Generator, seed: int) -> None:
    predicted, target = predictions(rng, 2, 3), segments(rng, 4)
    points = random_points(1, 30, torch.device("cpu")).double()
    costs = pairing_cost(predicted.logits, predicted.masks, target, points, WEIGHTS)
    assert costs.shape == (2, 3, 4)
    for stage, query, segment in itertools.product(range(2), range(3), range(4)):
        wanted = naive_cost(
            predicted.logits[stage, query],
            sample_points(predicted.masks[stage, query][None, None], points)[0, 0],
            int(target.labels[segment]),
            sample_points(target.masks[segment][None, None].double(), points)[0, 0],
        )
        assert costs[stage, query, segment].item() == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize(("queries", "count"), [(5, 3), (4, 4), (3, 5)])
def test_pairing_is_the_cheapest_of_all(
    queries: int, count: int, rng: torch.Generator, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [predictions(rng, 2, queries) for _ in range(2)]
    targets = [segments(rng, count), segments(rng, count)]
    points = random_points(1, 40, torch.device("cpu"))
    monkeypatch.setattr("pading.losses.matcher.random_points", lambda *_: points)
    for stage, pairs in zip(stages, match(stages, targets, WEIGHTS, 40), strict=True):
        for image, (query, segment) in enumerate(pairs):
            [cost] = pairing_cost(
                stage.logits[image][None].float(),
                stage.masks[image][None].float(),
                targets[image],
                points,
                WEIGHTS,
            )
            rows, columns = (range(queries), range(count))
            fewer = min(queries, count)
            best = min(
                sum(cost[q, s].item() for q, s in zip(chosen, order, strict=True))
                for chosen in itertools.combinations(rows, fewer)
                for order in itertools.permutations(columns, fewer)
            )
            assert len(query) == len(segment) == fewer
            assert cost[query, segment].sum().item() == pytest.approx(best, rel=1e-5)


def test_image_without_targets_has_no_pairs(rng: torch.Generator, seed: int) -> None:
    [[(query, segment)]] = match([predictions(rng, 1, 3)], [segments(rng, 0)], WEIGHTS, 10)
    assert query.shape == segment.shape == (0,)
    assert query.dtype == segment.dtype == torch.int64


def test_a_diverged_model_is_said_to_be_one(rng: torch.Generator, seed: int) -> None:
    predicted = predictions(rng, 1, 3)
    predicted.masks[0, 1] = math.nan
    with pytest.raises(FloatingPointError, match=r"diverged.*SOLVER\.BASE_LR"):
        match([predicted], [segments(rng, 2)], WEIGHTS, 10)
