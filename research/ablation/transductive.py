"""Transductive stage 2: a second model learns from what a first one finds in unlabelled images.

The semantic protocols do so with pixels (Bucher et al., NeurIPS 2019; ZegCLIP's transductive
setting); here it is queries. Which unseen class a query is of, the first model says.
"""

import torch
from torch import Tensor, nn

from pading.models.pading.stage_two import PADing
from pading.models.pading.steps import StageTwoBatch

_SURE = 0.5


@torch.no_grad()
def found_unseen(model: PADing, embeddings: Tensor) -> dict[int, Tensor]:
    """Embeddings (n, C) by unseen class, of those (N, C) that are likelier of it than not."""
    most, labels = model.classifier(embeddings).softmax(-1).max(-1)
    labels = labels.masked_fill(most < _SURE, -1)
    return {k: embeddings[labels == k] for k in model.split.unseen}


class WithFound(nn.Module):
    """Stage 2 on its batches and an embedding of each unseen class of which any were found."""

    def __init__(self, model: PADing, found: dict[int, Tensor]) -> None:
        """
        Args:
            model: learns; its generator, too, takes these for real.
            found: embeddings (n, C) by unseen class.
        """
        super().__init__()
        self.model, self.found = model, {k: rows for k, rows in found.items() if len(rows)}

    def forward(self, batch: StageTwoBatch) -> dict[str, Tensor]:
        if not self.found:
            return self.model(batch)
        rows = [found[torch.randint(len(found), ())] for found in self.found.values()]
        embeddings = torch.cat((batch.embeddings, torch.stack(rows)))
        labels = torch.cat((batch.labels, batch.labels.new_tensor(list(self.found))))
        return self.model(batch._replace(embeddings=embeddings, labels=labels))
