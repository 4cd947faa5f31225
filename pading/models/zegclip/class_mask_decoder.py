"""ZegCLIP's decoder: class texts, related to the image, attend to patches; attention is the mask.

Classes never see one another, so a class's mask does not depend on which others are asked.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pading.layers.precision import autocast
from pading.layers.resizing_matrices import Bilinear


class SmallMasks(NamedTuple):
    """Masks before they are enlarged."""

    logits: Tensor
    """(B, K, h, w)."""
    size: tuple[int, int]
    """Of the images."""

    def chances(self, rows: slice) -> Tensor:
        """Of a range of classes, (B, k, H, W) in 0..1, float32."""
        masks = self.logits[:, rows].float()
        resized = Bilinear((masks.shape[-2], masks.shape[-1]), self.size, masks)
        with autocast(masks.device, None):
            return resized(masks).sigmoid_()


class PatchAttention(nn.Module):
    """Queries of classes attend to patches."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, queries: Tensor, patches: Tensor) -> Tensor:
        """Queries (B, K, D) and patches (B, N, D) to (B, K, D)."""
        query, key, value = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x in (self.q(queries), self.k(patches), self.v(patches))
        )
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.proj(found.transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
    """Attention to patches and a feed-forward network, each with a norm behind it."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.multihead_attn = PatchAttention(width, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width)  # the published names
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, patches: Tensor) -> Tensor:
        """Queries (B, K, D) and patches (B, N, D) to queries (B, K, D)."""
        found = self.multihead_attn(queries, patches)
        queries = self.norm2(queries + self.dropout(found))
        found = self.linear2(self.dropout(self.linear1(queries).relu()))
        return self.norm3(queries + self.dropout(found))


class MaskAttention(nn.Module):
    """The last layer, of which the masks alone are used: the mean over heads of its attention."""

    def __init__(self, width: int, heads: int, prior: float) -> None:
        super().__init__()
        self.bias = math.log(prior / (1 - prior))
        self.q, self.k = nn.Linear(width, width), nn.Linear(width, width)
        self.scale = 1 / (heads * math.sqrt(width // heads))

    def forward(self, queries: Tensor, patches: Tensor) -> Tensor:
        """Queries (B, K, D) and patches (B, N, D) to mask logits (B, K, N), before any softmax.

        The mean over heads of scaled products is one product of all channels; keys of classes are
        cheaper than keys of patches, of which there are more.
        """
        query = self.q(queries) * self.scale
        base = query @ self.k.bias + self.bias
        return (query @ self.k.weight) @ patches.transpose(1, 2) + base[..., None]


class ClassMaskDecoder(nn.Module):
    """Class texts and an image to one mask per class."""

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        dropout: float,
        descriptor: bool = True,
        unit_gain: bool = False,
        prior: float = 0.5,
    ) -> None:
        """
        Args:
            width: D, of the joint space.
            layers: the last one gives the masks.
            heads: of the attention.
            inner: width of the feed-forward networks.
            dropout: everywhere.
            descriptor: queries know the image by the product of its vector with the text's.
            unit_gain: initial weights are scaled to what they multiply, entries of unit vectors and
                of their products. Without it, queries of narrow models start alike.
            prior: chance of a class at a pixel before anything is learned of it (Lin et al.,
                RetinaNet, ICCV 2017, section 4.1): a constant on all mask logits.
        """
        super().__init__()
        self.descriptor = descriptor
        self.q_proj = nn.Linear(2 * width if descriptor else width, width)
        self.layers = nn.ModuleList(
            [DecoderLayer(width, heads, inner, dropout) for _ in range(layers - 1)]
        )
        self.last = MaskAttention(width, heads, prior)
        if unit_gain:
            self._scale_up(width)

    @torch.no_grad()
    def _scale_up(self, width: int) -> None:
        root = math.sqrt(width)
        self.q_proj.weight[:, -width:] *= root
        if self.descriptor:
            self.q_proj.weight[:, :width] *= width
        self.last.k.weight *= root
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            layer.multihead_attn.k.weight *= root
            layer.multihead_attn.v.weight *= root

    def describe(self, texts: Tensor, image: Tensor) -> Tensor:
        """Relationship descriptors: products of texts and image, then the texts.

        Args:
            texts: (K, D) unit vectors.
            image: (B, D) unit vectors.

        Returns:
            (B, K, 2 D), or the texts alone (B, K, D) without the descriptor.
        """
        own = texts.expand(image.shape[0], -1, -1)
        return torch.cat((texts * image[:, None], own), -1) if self.descriptor else own

    def forward(self, texts: Tensor, image: Tensor, patches: Tensor) -> Tensor:
        """
        Args:
            texts: (K, D) unit vectors.
            image: (B, D) unit vectors.
            patches: (B, D, h, w), unit over channels.

        Returns:
            mask logits (B, K, h, w).
        """
        memory = patches.flatten(2).transpose(1, 2)
        queries = self.q_proj(self.describe(texts, image))
        for layer in self.layers:
            queries = layer(queries, memory)
        return self.last(queries, memory).unflatten(2, patches.shape[-2:])
