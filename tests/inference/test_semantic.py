"""Semantic inference against naive loops."""

import torch

from pading.inference.semantic import semantic_inference


def test_semantic_is_the_sum_over_queries(rng: torch.Generator) -> None:
    scores = torch.randn(3, 5, generator=rng).softmax(-1)
    masks = torch.randn(3, 4, 6, generator=rng)
    wanted = torch.zeros(4, 4, 6)
    for q in range(3):
        for k in range(4):
            wanted[k] += scores[q, k] * masks[q].sigmoid()
    torch.testing.assert_close(semantic_inference(scores, masks), wanted)
