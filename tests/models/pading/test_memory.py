"""The memory of real embeddings: the last few of each class, and how many there were."""

import torch

from pading.models.pading.memory import EmbeddingMemory


def test_the_last_of_each_class_are_kept(rng: torch.Generator) -> None:
    memory = EmbeddingMemory(num_classes=3, size=4, dim=2)
    assert not len(memory.held()[0])
    met: dict[int, list[torch.Tensor]] = {label: [] for label in range(4)}
    for rows in (5, 1, 0, 30, 7):
        embeddings = torch.randn(rows, 2, generator=rng)
        labels = torch.tensor([0, 0, 2, 3])[torch.randint(4, (rows,), generator=rng)]
        memory.keep(embeddings, labels)
        for embedding, label in zip(embeddings, labels.tolist(), strict=True):
            met[label].append(embedding)
    assert memory.counts.tolist() == [len(met[label]) for label in range(4)]
    embeddings, labels = memory.held()
    for label, wanted in met.items():
        found = sorted(embeddings[labels == label].tolist())
        assert found == sorted(x.tolist() for x in wanted[-4:])
