"""Semantic inference against naive loops, and the best classes without all scores at once."""

import pytest
import torch
from torch.nn import functional as F

from pading.inference.semantic import best_classes, semantic_inference


def test_semantic_is_the_sum_over_queries(rng: torch.Generator) -> None:
    scores = torch.randn(3, 5, generator=rng).softmax(-1)
    masks = torch.randn(3, 4, 6, generator=rng)
    wanted = torch.zeros(4, 4, 6)
    for q in range(3):
        for k in range(4):
            wanted[k] += scores[q, k] * masks[q].sigmoid()
    torch.testing.assert_close(semantic_inference(scores, masks), wanted)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_best_classes_are_those_of_all_scores_at_once(
    align_corners: bool, chunk: int, rng: torch.Generator
) -> None:
    scores = torch.randn(11, 4, 6, generator=rng)
    at_size = F.interpolate(
        scores[None].double(), (9, 13), mode="bilinear", align_corners=align_corners
    )[0]
    labels, top = best_classes(scores, (9, 13), align_corners, chunk)
    torch.testing.assert_close(top, at_size.max(0).values.float())
    torch.testing.assert_close(at_size.gather(0, labels[None])[0].float(), top)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_the_first_of_equal_classes_is_best(chunk: int, rng: torch.Generator) -> None:
    scores = torch.randint(0, 4, (11, 4, 6), generator=rng).float()
    labels, top = best_classes(scores, (4, 6), chunk=chunk)
    assert torch.equal(top, scores.amax(0))
    assert torch.equal(labels, scores.argmax(0))
