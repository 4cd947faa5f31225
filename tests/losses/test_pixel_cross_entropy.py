"""Cross-entropy of label maps."""

import torch
from torch.nn import functional as F

from pading.losses.pixel_cross_entropy import UNLABELLED, pixel_cross_entropy


def test_a_mean_over_labelled_pixels(rng: torch.Generator) -> None:
    scores = torch.randn(2, 3, 4, 5, generator=rng)
    labels = torch.randint(UNLABELLED, 3, (2, 4, 5), generator=rng)
    wanted = F.cross_entropy(scores, labels, ignore_index=UNLABELLED)
    torch.testing.assert_close(pixel_cross_entropy((scores, labels)), wanted)
    parts = [(scores[i : i + 1], labels[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(pixel_cross_entropy(*parts), wanted)


def test_no_label_is_no_loss(rng: torch.Generator) -> None:
    scores = torch.randn(1, 3, 2, 2, generator=rng, requires_grad=True)
    loss = pixel_cross_entropy((scores, torch.full((1, 2, 2), UNLABELLED)))
    loss.backward()
    assert loss.item() == 0
    assert not scores.grad.any()
