"""Multi-head attention and the feed-forward block, shared by segmenter and generator."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MultiheadAttention(nn.Module):
    """Scaled dot-product attention with the parameter names of ``torch.nn.MultiheadAttention``.

    Unlike that one it takes a mask that is shared by all heads without copying it for each.
    """

    def __init__(
        self, dim: int, num_heads: int, dropout: float = 0.0, linear: type[nn.Linear] = nn.Linear
    ) -> None:
        """
        Args:
            dim: width C.
            num_heads: must divide it.
            dropout: of the attention weights, in training.
            linear: the type of the projection behind them.
        """
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"width {dim} does not divide into {num_heads} heads")
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None = None
    ) -> Tensor:
        """Attend from query to key.

        Args:
            query: (B, Q, C).
            key, value: (B, S, C).
            visible: bool, broadcastable to (B, Q, S); True where a query may look. Every query must
                see something.

        Returns:
            (B, Q, C).
        """
        q, k, v = (
            F.linear(x, weight, bias)
            for x, weight, bias in zip(
                (query, key, value),
                self.in_proj_weight.chunk(3),
                self.in_proj_bias.chunk(3),
                strict=True,
            )
        )
        return self.mixed(q, k, v, visible)

    def mixed(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """The same of what has been projected; outside training the mask may also be numbers that
        are added to the products of queries and keys."""
        q, k, v = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (query, key, value)
        )
        mask = None if mask is None else mask.unsqueeze(1)
        probability = self.dropout if self.training else 0.0
        if probability and q.device.type == "cpu":
            mixed = _attention_with_dropout(q, k, v, mask, probability)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, mask, probability)
        return self.out_proj(mixed.transpose(1, 2).flatten(-2))

    def attend_to_itself_alone(self, token: Tensor) -> Tensor:
        """Self-attention of one-token sequences: all weight is on the token, so its value counts.

        Args:
            token: (..., C).

        Returns:
            (..., C).
        """
        value = F.linear(token, self.in_proj_weight.chunk(3)[2], self.in_proj_bias.chunk(3)[2])
        # Dropout of the one attention weight drops a head's whole value, as in PyTorch's own.
        heads = value.unflatten(-1, (self.num_heads, -1))
        keep = F.dropout(torch.ones_like(heads[..., :1]), self.dropout, self.training)
        return self.out_proj((heads * keep).flatten(-2))


def _attention_with_dropout(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, probability: float
) -> Tensor:
    """What PyTorch has no fast kernel for on the CPU; arguments as in its own function."""
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = F.dropout(scores.softmax(-1), probability, training=True)
    return (v.mT @ weights.mT).mT  # which takes a third of the time of weights @ v
