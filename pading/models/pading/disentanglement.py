"""Splits an embedding into what its class vector explains and the rest (PADing, section 3.3)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SLOPE = 0.2


class Parts(NamedTuple):
    """An embedding, disentangled."""

    related: Tensor
    """(N, C) r, the semantic-related part."""
    unrelated: Tensor
    """(N, C) u, the rest."""
    rebuilt: Tensor
    """(N, C) D([r; u]), which should be the embedding again."""


class Disentangler(nn.Module):
    """Encoders E_r and E_u, decoder D, and the relation R of related part and semantic token."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.related = _encoder(dim, dropout)
        self.unrelated = _encoder(dim, dropout)
        self.decoder = nn.Sequential(
            nn.Linear(2 * dim, dim),
            nn.LeakyReLU(_SLOPE),
            nn.Dropout(dropout),
            nn.Linear(dim, dim),
            nn.LeakyReLU(_SLOPE),
            nn.Dropout(dropout),
        )
        self.relation = nn.ModuleDict({"fc1": nn.Linear(2 * dim, dim), "fc2": nn.Linear(dim, 1)})

    def forward(self, embeddings: Tensor) -> Parts:
        """Disentangle embeddings (N, C)."""
        related, unrelated = self.related(embeddings), self.unrelated(embeddings)
        return Parts(related, unrelated, self.decoder(torch.cat((related, unrelated), dim=-1)))

    def relation_scores(self, related: Tensor, tokens: Tensor) -> Tensor:
        """How well each related part fits each class.

        Args:
            related: (N, C).
            tokens: (K, C) semantic tokens.

        Returns:
            (N, K) in (0, 1).
        """
        # A linear map of a concatenation is a sum of two: no row for each pair before the ReLU.
        layer: Any = self.relation["fc1"]
        of_related, of_tokens = layer.weight.split(related.shape[1], dim=1)
        left, right = F.linear(related, of_related, layer.bias), F.linear(tokens, of_tokens)
        return self.relation["fc2"](F.relu(left[:, None] + right))[..., 0].sigmoid()


def _encoder(dim: int, dropout: float) -> nn.Sequential:
    # Two linear layers with nothing between them, as the published code has it.
    return nn.Sequential(
        nn.Linear(dim, dim), nn.Linear(dim, dim), nn.LeakyReLU(_SLOPE), nn.Dropout(dropout)
    )
