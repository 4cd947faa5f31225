"""Class scores of queries."""

import torch

from pading.inference.query_scores import class_scores, confident_queries


def test_class_scores_are_float32_probabilities(rng: torch.Generator) -> None:
    scores = class_scores(torch.randn(3, 5, generator=rng).half())
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.sum(-1), torch.ones(3))


def test_confident_queries_are_sure_of_a_class() -> None:
    scores = torch.tensor([[0.6, 0.1, 0.3], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.0, 0.9, 0.1]])
    assert confident_queries(scores, 0.5).tolist() == [True, False, False, True]
