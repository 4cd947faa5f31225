"""Transductive stage 2: which queries join in, and as what."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from pading.models.pading.steps import StageTwoBatch
from research.ablation.transductive import WithFound, found_unseen


def test_what_is_likelier_of_an_unseen_class_than_not_is_found() -> None:
    model: Any = SimpleNamespace(
        classifier=torch.nn.Identity(), split=SimpleNamespace(unseen=(1, 2))
    )
    shares = torch.tensor(
        [[0.1, 0.6, 0.1, 0.2], [0.6, 0.2, 0.1, 0.1], [0.3, 0.1, 0.4, 0.2], [0.2, 0.1, 0.1, 0.6]]
    )
    found = found_unseen(model, shares.log())
    assert torch.equal(found[1], shares[:1].log())  # not the seen, the unsure, nor no-object
    assert found[2].shape == (0, 4)


def test_one_of_each_class_joins_every_batch(seed: int) -> None:
    torch.manual_seed(seed)
    given: list[StageTwoBatch] = []

    class Model(torch.nn.Module):
        def forward(self, batch: StageTwoBatch) -> dict[str, Tensor]:
            given.append(batch)
            return {}

    batch = StageTwoBatch(torch.randn(5, 3), torch.tensor([0, 0, 3, 3, 3]), 0.25)
    rows = torch.randn(4, 3)
    model: Any = Model()
    WithFound(model, {1: rows, 2: rows[:0]})(batch)
    WithFound(model, {1: rows[:0]})(batch)
    assert given[1] is batch
    assert torch.equal(given[0].embeddings[:5], batch.embeddings)
    assert (given[0].embeddings[5] == rows).all(1).any()
    assert given[0].labels.tolist() == [0, 0, 3, 3, 3, 1]
    assert given[0].no_object_share == 0.25
