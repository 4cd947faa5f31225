"""pading.losses.focal: torchvision's loss and gradient on one-hot targets; what does not count."""

from unittest import mock

import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from pading.losses import focal
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


def test_small_masks_and_their_gradient(rng: torch.Generator) -> None:
    masks = torch.randn(3, CLASSES, 3, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(-1, CLASSES, (3, 13, 9), generator=rng)
    onehot = (labels[:, None] == torch.arange(CLASSES).view(-1, 1, 1)).double()
    enlarged = F.interpolate(masks, (13, 9), mode="bilinear")
    wanted = sigmoid_focal_loss(enlarged, onehot).mean((-2, -1)).sum()
    for at_once in (1, 300, 1 << 17):  # one class at a time, a few, all
        with mock.patch.dict(focal._AT_ONCE, cpu=at_once):
            found = focal_loss(masks, labels)
        torch.testing.assert_close(found, wanted)
        [gradient] = torch.autograd.grad(3 * found, masks)
        [theirs] = torch.autograd.grad(3 * wanted, masks, retain_graph=True)
        torch.testing.assert_close(gradient, theirs)
    assert torch.autograd.gradcheck(lambda m: focal_loss(m, labels, labels > 0), masks)


@pytest.mark.parametrize("value", [-200.0, 200.0])
def test_extreme_logits_give_finite_gradients(value: float) -> None:
    logits = torch.full((1, 2, 2, 2), value, requires_grad=True)
    focal_loss(logits, torch.tensor([[[0, 1], [-1, 0]]])).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
