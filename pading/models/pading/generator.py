"""Generators of synthetic class embeddings (PADing, section 3.2)."""

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from pading.errors import InputError
from pading.layers.attention import MultiheadAttention
from pading.models.pading.ridge_generator import RidgeGenerator


class GeneratorLayer(nn.Module):
    """A post-norm transformer-decoder layer on one-token sequences that share their memory."""

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(dim, num_heads, dropout)
        self.multihead_attn = MultiheadAttention(dim, num_heads, dropout)
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, memory: Tensor, noise: bool) -> Tensor:
        """
        Args:
            tokens: (N, C), each a sequence of its own.
            memory: (M, C).
            noise: add standard normal noise before the cross-attention's norm.

        Returns:
            (N, C).
        """
        tokens = self.norm1(tokens + self.dropout(self.self_attn.attend_to_itself_alone(tokens)))
        # The tokens do not see each other here, so they can share one sequence of queries.
        attended = self.multihead_attn(tokens[None], memory[None], memory[None])[0]
        tokens = tokens + self.dropout(attended)
        if noise:
            tokens = tokens + torch.randn_like(tokens)
        tokens = self.norm2(tokens)
        hidden = self.dropout(F.relu(self.linear1(tokens)))
        return self.norm3(tokens + self.dropout(self.linear2(hidden)))


class PrimitiveGenerator(nn.Module):
    """Assembles embeddings from learned primitives that semantic tokens attend to (equation 2)."""

    def __init__(
        self,
        dim: int,
        *,
        num_primitives: int,
        num_layers: int,
        num_heads: int,
        ffn_dim: int,
        dropout: float,
        noise: bool,
    ) -> None:
        super().__init__()
        self.noise = noise
        self.primitives = nn.Embedding(num_primitives, dim)
        self.layers = nn.ModuleList(
            GeneratorLayer(dim, num_heads, ffn_dim, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, C) semantic tokens of the wanted classes -> (N, C) synthetic embeddings."""
        for layer in self.layers:
            tokens = layer(tokens, self.primitives.weight, self.noise)
        return self.norm(tokens)


class MLPGenerator(nn.Module):
    """Two linear layers on semantic token and noise: the baseline that PADing is compared with."""

    def __init__(self, dim: int, *, hidden_dim: int, noise: bool, token_norm: bool = False) -> None:
        """
        Args:
            dim: C.
            hidden_dim: width between the layers.
            noise: whether many embeddings come of a token.
            token_norm: tokens of unit vectors are small beside the noise; normalise them.
        """
        super().__init__()
        self.noise = noise
        self.token_norm = token_norm
        self.linear1 = nn.Linear(2 * dim, hidden_dim)
        self.linear2 = nn.Linear(hidden_dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, C) semantic tokens of the wanted classes -> (N, C) synthetic embeddings."""
        if self.token_norm:
            tokens = F.layer_norm(tokens, tokens.shape[-1:])
        noise = torch.randn_like(tokens) if self.noise else torch.zeros_like(tokens)
        hidden = F.leaky_relu(self.linear1(torch.cat((tokens, noise), dim=-1)), 0.2)
        return self.linear2(hidden)


def build_generator(cfg: CfgNode, dim: int, class_vectors: Tensor) -> nn.Module:
    """The generator that MODEL.GENERATOR.NAME asks for, of embeddings (N, dim).

    It takes semantic tokens (N, dim), or class vectors (N, d) where it is no network.

    Raises:
        InputError: heads that do not share them evenly.
    """
    g = cfg.MODEL.GENERATOR
    if g.NAME == "ridge":
        return RidgeGenerator(
            class_vectors, dim, penalty=g.RIDGE, noise=g.NOISE, error=g.RIDGE_ERROR
        )
    if g.NAME == "primitives":
        if dim % g.NUM_HEADS:
            raise InputError(
                f"MODEL.GENERATOR.NUM_HEADS is {g.NUM_HEADS}, which does not divide the "
                f"{dim} numbers of an embedding (MODEL.SEGMENTER.HIDDEN_DIM, and the channels of "
                "MODEL.ZERO_SHOT.BACKBONE_FEATURES); give one that does"
            )
        return PrimitiveGenerator(
            dim,
            num_primitives=g.NUM_PRIMITIVES,
            num_layers=g.NUM_LAYERS,
            num_heads=g.NUM_HEADS,
            ffn_dim=g.FFN_DIM,
            dropout=g.DROPOUT,
            noise=g.NOISE,
        )
    return MLPGenerator(dim, hidden_dim=g.FFN_DIM, noise=g.NOISE, token_norm=g.TOKEN_NORM)


def semantic_projection(generator: nn.Module, width: int, dim: int) -> nn.Module:
    """What makes a generator's tokens (K, dim) of class vectors (K, width); one that learns by
    observing takes the vectors themselves."""
    return nn.Identity() if isinstance(generator, RidgeGenerator) else nn.Linear(width, dim)
