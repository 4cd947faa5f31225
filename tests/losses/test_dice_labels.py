"""pading.losses.dice_labels: pairs that are there, and the loss against a naive sum."""

import torch
from torch.nn import functional as F

from pading.losses.dice_labels import dice_label_loss, present_pairs


def test_pairs() -> None:
    labels = torch.tensor([[[0, 2], [-1, 2]], [[-1, -1], [-1, 255]]])
    assert present_pairs(labels, 3).tolist() == [[0, 0], [0, 2]]


def test_naive_sum_with_and_without_what_does_not_count(rng: torch.Generator) -> None:
    logits = torch.randn(2, 3, 4, 5, generator=rng, dtype=torch.float64)
    labels = torch.randint(-1, 3, (2, 4, 5), generator=rng)
    pairs = present_pairs(labels, 3)
    for counted in (None, labels >= 0):
        wanted = 0.0
        for image, number in pairs.tolist():
            chance, is_class = logits[image, number].sigmoid(), labels[image] == number
            if counted is not None:
                chance = chance[counted[image]]
            overlap = (logits[image, number].sigmoid() * is_class).sum()
            wanted += 1 - (2 * overlap + 1) / (chance.sum() + is_class.sum() + 1)
        torch.testing.assert_close(dice_label_loss(logits, labels, pairs, counted), wanted)


def test_small_masks_are_enlarged(rng: torch.Generator) -> None:
    masks = torch.randn(2, 3, 2, 3, generator=rng, dtype=torch.float64)
    labels = torch.randint(-1, 3, (2, 7, 8), generator=rng)
    pairs = present_pairs(labels, 3)
    enlarged = F.interpolate(masks, (7, 8), mode="bilinear")
    wanted = dice_label_loss(enlarged, labels, pairs)
    torch.testing.assert_close(dice_label_loss(masks, labels, pairs), wanted)


def test_no_pair_is_no_loss(rng: torch.Generator) -> None:
    logits = torch.randn(1, 3, 4, 5, generator=rng, requires_grad=True)
    loss = dice_label_loss(
        logits, torch.full((1, 4, 5), -1), present_pairs(torch.full((1, 4, 5), -1), 3)
    )
    loss.backward()
    assert loss == 0 and logits.grad is not None and not logits.grad.any()
