"""Moment matching against a double loop over all pairs."""

import math

import pytest
import torch

from pading.models.pading.moment_matching import moment_matching_loss

BANDWIDTHS = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)


def naive(synthetic: torch.Tensor, real: torch.Tensor) -> float:
    rows = [(row, 1 / len(synthetic)) for row in synthetic]
    rows += [(row, -1 / len(real)) for row in real]
    total = 0.0
    for a, weight_a in rows:
        for b, weight_b in rows:
            half = float((a - b).square().sum()) / 2
            total += weight_a * weight_b * sum(math.exp(-half / sigma) for sigma in BANDWIDTHS)
    return math.sqrt(total)


@pytest.mark.parametrize(("synthetic", "real"), [(1, 1), (5, 3), (7, 12)])
def test_equals_the_double_loop(synthetic: int, real: int, rng: torch.Generator) -> None:
    x = torch.randn(real, 6, generator=rng, dtype=torch.float64)
    f = torch.randn(synthetic, 6, generator=rng, dtype=torch.float64)
    assert moment_matching_loss(f, x, BANDWIDTHS).item() == pytest.approx(naive(f, x), rel=1e-9)


def test_gradient(rng: torch.Generator) -> None:
    x = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    f = torch.randn(5, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: moment_matching_loss(f, x, BANDWIDTHS), f)


def test_of_a_sample_with_itself_is_as_good_as_zero(rng: torch.Generator) -> None:
    x = torch.randn(9, 5, generator=rng)
    same = x.clone().requires_grad_()
    loss = moment_matching_loss(same, x[torch.randperm(9, generator=rng)], BANDWIDTHS)
    loss.backward()
    assert loss.item() < 2e-3
    assert same.grad.isfinite().all()


def test_grows_as_the_samples_part(rng: torch.Generator) -> None:
    x = torch.randn(20, 5, generator=rng)
    f = torch.randn(20, 5, generator=rng)
    losses = [moment_matching_loss(f + shift, x, BANDWIDTHS).item() for shift in (0, 2, 5)]
    assert losses == sorted(losses)


def test_of_nothing_is_as_good_as_zero() -> None:
    empty = torch.zeros(0, 5, requires_grad=True)
    loss = moment_matching_loss(empty, torch.zeros(0, 5), BANDWIDTHS)
    loss.backward()
    assert 0 <= loss.item() <= 1e-6
    assert empty.grad.shape == (0, 5)


def test_class_by_class(rng: torch.Generator) -> None:
    """Wholly class by class: the classes' own discrepancies, each by its share of the rows."""
    labels = torch.tensor([0, 0, 2, 2, 2, 5])
    x, f = torch.randn(2, 6, 4, generator=rng, dtype=torch.float64)
    squares = sum(
        naive(f[labels == k], x[labels == k]) ** 2 * float((labels == k).double().mean()) ** 2
        for k in (0, 2, 5)
    )
    loss = moment_matching_loss(f, x, BANDWIDTHS, labels, class_share=1.0)
    assert loss.item() == pytest.approx(math.sqrt(3 * squares), rel=1e-9)
    # Samples that are alike as a whole, with their classes exchanged.
    swapped = x[[2, 3, 0, 1, 5, 4]]
    assert moment_matching_loss(swapped, x, BANDWIDTHS).item() < 1e-5
    assert moment_matching_loss(swapped, x, BANDWIDTHS, labels, 0.5).item() > 0.1
