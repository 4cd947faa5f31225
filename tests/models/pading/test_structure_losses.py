"""Disentanglement and alignment losses against naive sums in float64."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pading.models.pading.structure_losses import (
    alignment_loss,
    cosine_similarity,
    reconstruction_loss,
    relation_loss,
    softened_divergence,
    unrelated_loss,
)

T = 0.1


def softmax(row: list[float], temperature: float) -> list[float]:
    shifted = [math.exp((value - max(row)) / temperature) for value in row]
    return [value / sum(shifted) for value in shifted]


def naive_divergence(values: Tensor, target: Tensor) -> float:
    total = 0.0
    for row, wanted in zip(values.tolist(), target.tolist(), strict=True):
        for p, q in zip(softmax(row, T), softmax(wanted, T), strict=True):
            total += q * (math.log(q) - math.log(p))
    return total / values.numel()


@pytest.fixture
def draw(rng: torch.Generator) -> Callable[..., Tensor]:
    return lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)


def test_divergence(draw: Callable) -> None:
    values, target = draw(4, 7), draw(4, 7)
    wanted = naive_divergence(values, target)
    assert softened_divergence(values, target, T).item() == pytest.approx(wanted, rel=1e-9)
    assert unrelated_loss(values, target, T).item() == pytest.approx(wanted, rel=1e-9)


def test_divergence_from_itself_is_zero(draw: Callable) -> None:
    values = draw(4, 7)
    assert softened_divergence(values, values, T).item() == pytest.approx(0, abs=1e-12)


def test_divergence_is_weighted_by_the_target(draw: Callable) -> None:
    values, target = draw(4, 7), draw(4, 7)
    there = softened_divergence(values, target, T).item()
    assert there != pytest.approx(softened_divergence(target, values, T).item())


def test_cosine_similarity(draw: Callable) -> None:
    a, b = draw(3, 5), draw(4, 5)
    wanted = [[torch.dot(x, y) / x.norm() / y.norm() for y in b] for x in a]
    torch.testing.assert_close(cosine_similarity(a, b), torch.tensor(wanted, dtype=a.dtype))


def test_relation(draw: Callable) -> None:
    scores = draw(5, 3).sigmoid()
    labels = torch.tensor([0, 2, 1, 1, 0])
    wanted = -sum(
        math.log(softmax(row, 1.0)[label])
        for row, label in zip(scores.tolist(), labels.tolist(), strict=True)
    )
    assert relation_loss(scores, labels).item() == pytest.approx(wanted / 5, rel=1e-9)


def test_reconstruction(draw: Callable) -> None:
    a, b = draw(5, 3), draw(5, 3)
    assert reconstruction_loss(a, b).item() == pytest.approx((a - b).abs().mean().item(), rel=1e-9)


def test_alignment(draw: Callable) -> None:
    rs, ru, ss, su = draw(4, 6), draw(3, 6), draw(4, 6), draw(3, 6)
    pairs = ((rs, rs, ss, ss), (ru, ru, su, su), (rs, ru, ss, su))
    wanted = sum(
        naive_divergence(cosine_similarity(a, b), cosine_similarity(c, d)) for a, b, c, d in pairs
    )
    assert alignment_loss(rs, ru, ss, su, T).item() == pytest.approx(wanted / 3, rel=1e-9)


def test_alignment_of_embeddings_that_stand_as_their_tokens_do_is_zero(draw: Callable) -> None:
    tokens, unseen = draw(4, 6), draw(3, 6)
    turn = torch.linalg.qr(draw(6, 6)).Q
    loss = alignment_loss(3 * tokens @ turn, unseen @ turn, tokens, unseen, T)
    assert loss.item() == pytest.approx(0, abs=1e-9)


def test_nothing_costs_nothing() -> None:
    def empty(*shape: int) -> Tensor:
        return torch.zeros(*shape, requires_grad=True)

    cases = {
        "unrelated": (unrelated_loss, (empty(0, 6), torch.zeros(0, 6), T)),
        "relation": (relation_loss, (empty(0, 3), torch.zeros(0, dtype=torch.int64))),
        "reconstruction": (reconstruction_loss, (empty(0, 6), torch.zeros(0, 6))),
    }
    for name, (loss, arguments) in cases.items():
        value = loss(*arguments)
        value.backward()
        assert value.item() == 0, name
        assert arguments[0].grad.isfinite().all(), name


def test_alignment_without_seen_rows_is_finite(draw: Callable) -> None:
    unseen = draw(3, 6).requires_grad_()
    none = torch.zeros(0, 6, dtype=torch.float64)
    loss = alignment_loss(none, unseen, none, draw(3, 6), T)
    loss.backward()
    assert loss.isfinite()
    assert unseen.grad.isfinite().all()
