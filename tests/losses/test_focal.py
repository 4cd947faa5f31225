"""pading.losses.focal: against torchvision's on one-hot targets; what does not count."""

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from pading.losses.focal import focal_loss

CLASSES = 4


def drawn(rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits = 4 * torch.randn(2, CLASSES, 6, 5, generator=rng, dtype=torch.float64)
    labels = torch.randint(-1, CLASSES, (2, 6, 5), generator=rng)
    onehot = (labels[:, None] == torch.arange(CLASSES).view(-1, 1, 1)).double()
    return logits, labels, onehot


def test_torchvisions(rng: torch.Generator) -> None:
    logits, labels, onehot = drawn(rng)
    wanted = sigmoid_focal_loss(logits, onehot).mean((-2, -1)).sum()
    torch.testing.assert_close(focal_loss(logits, labels), wanted)


def test_what_does_not_count_changes_nothing(rng: torch.Generator) -> None:
    logits, labels, onehot = drawn(rng)
    counted = labels >= 0
    counted[1] = False  # an image of nothing else
    kept = sigmoid_focal_loss(logits[:1], onehot[:1])[0][:, counted[0]]
    loss = focal_loss(logits, labels, counted)
    torch.testing.assert_close(loss, kept.mean(1).sum())


@pytest.mark.parametrize("value", [-200.0, 200.0])
def test_extreme_logits_give_finite_gradients(value: float) -> None:
    logits = torch.full((1, 2, 2, 2), value, requires_grad=True)
    focal_loss(logits, torch.tensor([[[0, 1], [-1, 0]]])).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
