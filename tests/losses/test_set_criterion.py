"""The segmenter's losses against naive sums, and at the edges."""

import math

import pytest
import torch
from torch import Tensor

from pading.losses.matcher import LossWeights
from pading.losses.set_criterion import (
    SetCriterion,
    classification_loss,
    dice_loss,
    global_mask_count,
    mask_loss,
    query_labels,
)
from pading.structures import MaskTargets, QueryPredictions

CLASSES, QUERIES = 4, 6


def criterion(**changes) -> SetCriterion:
    settings = {
        "weights": LossWeights(2.0, 5.0, 3.0),
        "no_object_weight": 0.1,
        "deep_supervision": True,
        "num_points": 64,
        "oversample_ratio": 3.0,
        "importance_ratio": 0.75,
    }
    return SetCriterion(**(settings | changes))


def predictions(rng: torch.Generator, batch: int, auxiliary: int = 0) -> QueryPredictions:
    return QueryPredictions(
        torch.randn(batch, QUERIES, CLASSES + 1, generator=rng).requires_grad_(),
        torch.randn(batch, QUERIES, 8, 8, generator=rng).requires_grad_(),
        torch.zeros(batch, QUERIES, 1),
        [predictions(rng, batch) for _ in range(auxiliary)],
    )


def segments(rng: torch.Generator, count: int) -> MaskTargets:
    return MaskTargets(
        torch.randint(CLASSES, (count,), generator=rng),
        torch.rand(count, 32, 32, generator=rng) < 0.4,
    )


def pairs(*indices: tuple[list[int], list[int]]) -> list[tuple[Tensor, Tensor]]:
    return [(torch.tensor(query), torch.tensor(segment)) for query, segment in indices]


def test_query_labels(rng: torch.Generator) -> None:
    targets = [segments(rng, 2), segments(rng, 0)]
    targets[0].labels = torch.tensor([3, 1])
    none = torch.zeros(0, dtype=torch.int64)
    labels = query_labels(targets, [*pairs(([1, 4], [1, 0])), (none, none)], QUERIES, CLASSES + 1)
    assert labels.tolist() == [[4, 1, 4, 4, 3, 4], [4] * 6]


def test_true_segments_are_classified(rng: torch.Generator, seed: int) -> None:
    targets = [segments(rng, 3), segments(rng, 0)]
    logits = torch.randn(3, CLASSES + 1, generator=rng)
    losses = criterion(segment_weight=3.0)(predictions(rng, 2), targets, logits)
    chances = logits.softmax(-1)
    naive = [-math.log(chances[i, k]) for i, k in enumerate(targets[0].labels.tolist())]
    assert losses["loss_segments"].item() == pytest.approx(3 * sum(naive) / 3, rel=1e-5)


def test_classification(rng: torch.Generator) -> None:
    logits = torch.randn(1, QUERIES, CLASSES + 1, generator=rng, dtype=torch.float64)
    target = segments(rng, 2)
    target.labels = torch.tensor([3, 1])
    loss = classification_loss(logits, [target], pairs(([1, 4], [1, 0])), 0.1)
    total = weights = 0.0
    for row, label in zip(logits[0].tolist(), [4, 1, 4, 4, 3, 4], strict=True):
        weight = 0.1 if label == CLASSES else 1.0
        total -= weight * (row[label] - math.log(sum(math.exp(v) for v in row)))
        weights += weight
    assert loss.item() == pytest.approx(total / weights, rel=1e-5)


def test_mask_and_dice(rng: torch.Generator) -> None:
    logits = torch.randn(3, 20, generator=rng, dtype=torch.float64)
    wanted = torch.rand(3, 20, generator=rng, dtype=torch.float64)
    entropy = dice = 0.0
    for row, truth in zip(logits.tolist(), wanted.tolist(), strict=True):
        overlap = size = 0.0
        for x, t in zip(row, truth, strict=True):
            p = 1 / (1 + math.exp(-x))
            entropy -= (t * math.log(p) + (1 - t) * math.log(1 - p)) / 20
            overlap += 2 * p * t
            size += p + t
        dice += 1 - (overlap + 1) / (size + 1)
    assert mask_loss(logits, wanted, 7.0).item() == pytest.approx(entropy / 7, rel=1e-9)
    assert dice_loss(logits, wanted, 7.0).item() == pytest.approx(dice / 7, rel=1e-9)


def test_a_perfect_mask_costs_nothing() -> None:
    wanted = torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    logits = 100 * (2 * wanted - 1)
    assert mask_loss(logits, wanted, 1.0).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(logits, wanted, 1.0).item() == pytest.approx(0, abs=1e-6)


def test_mask_count_is_at_least_one(rng: torch.Generator) -> None:
    device = torch.device("cpu")
    assert global_mask_count([segments(rng, 0)], device) == 1
    assert global_mask_count([segments(rng, 2), segments(rng, 3)], device) == 5


@pytest.mark.parametrize("deep", [True, False])
def test_names_of_the_losses(deep: bool, rng: torch.Generator, seed: int) -> None:
    losses = criterion(deep_supervision=deep)(predictions(rng, 1, auxiliary=2), [segments(rng, 3)])
    suffixes = ("", "_0", "_1") if deep else ("",)
    wanted = {f"loss_{kind}{suffix}" for kind in ("ce", "mask", "dice") for suffix in suffixes}
    assert set(losses) == wanted


def test_weights_multiply_the_terms(rng: torch.Generator, seed: int) -> None:
    predicted, targets = predictions(rng, 1), [segments(rng, 3)]
    losses = []
    for factor in (1.0, 10.0):
        torch.manual_seed(seed)
        weights = LossWeights(2 * factor, 5 * factor, 3 * factor)
        losses.append(criterion(weights=weights)(predicted, targets))
    for name, value in losses[0].items():
        assert losses[1][name].item() == pytest.approx(10 * value.item(), rel=1e-5)


def test_batch_without_any_segment(rng: torch.Generator, seed: int) -> None:
    predicted = predictions(rng, 2, auxiliary=1)
    losses = criterion()(predicted, [segments(rng, 0), segments(rng, 0)])
    torch.stack(list(losses.values())).sum().backward()
    for name, value in losses.items():
        assert value.isfinite()
        if not name.startswith("loss_ce"):
            assert value.item() == 0
    assert predicted.logits.grad.isfinite().all()
    assert predicted.masks.grad.isfinite().all()


def test_more_segments_than_queries(rng: torch.Generator, seed: int) -> None:
    losses = criterion()(predictions(rng, 1), [segments(rng, QUERIES + 3)])
    assert all(value.isfinite() for value in losses.values())


def test_half_precision_masks_are_matched_in_float32(rng: torch.Generator, seed: int) -> None:
    full = predictions(rng, 1)
    half = QueryPredictions(full.logits.bfloat16(), full.masks.bfloat16(), full.embeddings)
    with torch.autocast("cpu", torch.bfloat16):
        losses = criterion()(half, [segments(rng, 3)])
    assert {value.dtype for value in losses.values()} == {torch.float32}
