"""Learned prompts of CLIP's image tower (visual prompt tuning, Jia et al., ECCV 2022)."""

import math

import torch
from torch import Tensor, nn


class DeepPrompts(nn.Module):
    """Tokens that stand beside the patches: in the first layer, and new ones in later layers."""

    def __init__(
        self, count: int, depth: int, width: int, patch_size: int, dropout: float = 0.0
    ) -> None:
        """
        Args:
            count: n, prompts of a layer.
            depth: layers beyond the first that have prompts of their own; 0: shallow, those of the
                first layer go through all.
            width: d, of the tower.
            patch_size: of the tower; the initial range depends on it.
            dropout: of the projected prompts.
        """
        super().__init__()
        self.first = nn.Parameter(torch.empty(1, count, width))
        self.deep = nn.Parameter(torch.empty(depth, count, width)) if depth else None
        self.projection = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-6) if depth else None
        self.dropout = nn.Dropout(dropout)
        limit = math.sqrt(6 / (3 * patch_size**2 + width))
        for prompts in (self.first, self.deep):
            if prompts is not None:
                nn.init.uniform_(prompts, -limit, limit)
        nn.init.kaiming_normal_(self.projection.weight, mode="fan_out")

    @property
    def shallow(self) -> bool:
        """Whether the prompts of the first layer are the only ones, and go through all layers."""
        return self.deep is None

    def forward(self, batch: int) -> list[Tensor]:
        """Prompts of layer 0, 1, ..., each (batch, n, d); (1, n, d) where no image has its own."""
        prompts = self.projection(self.first)
        if self.deep is not None:
            prompts = torch.cat((prompts, self.projection(self.deep)))
        if self.training and self.dropout.p:
            prompts = prompts[:, None].expand(-1, batch, -1, -1)
            return list(self.dropout(prompts))
        return list(prompts[:, None])
