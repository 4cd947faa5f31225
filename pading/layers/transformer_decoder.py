"""The masked-attention transformer decoder (Mask2Former, section 3.2).

Parameter names are the published ones, so that published checkpoints load.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn import functional as F

from pading.layers.packed import channels_last, packed_dtype
from pading.layers.packed_linear import Linear, PackedAttention, PackedProduct, project
from pading.layers.positions import sine_positions
from pading.layers.query_masks import MaskFeatures, attention_mask, visible_pixels
from pading.structures import QueryPredictions


class SelfAttentionLayer(nn.Module):
    """Queries attend to each other."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = PackedAttention(dim, num_heads, dropout)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, positions: Tensor) -> Tensor:
        placed = queries + positions
        return self.norm(queries + self.dropout(self.self_attn(placed, placed, queries)))


class CrossAttentionLayer(nn.Module):
    """Queries attend to the pixels inside their own masks."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.multihead_attn = PackedAttention(dim, num_heads, dropout)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: Tensor,
        query_positions: Tensor,
        pixels: Tensor,
        pixel_positions: Tensor,
        visible: Tensor,
    ) -> Tensor:
        attended = self.multihead_attn(
            queries + query_positions, pixels + pixel_positions, pixels, visible
        )
        return self.norm(queries + self.dropout(attended))

    def to_projected(
        self, queries: Tensor, query_positions: Tensor, keys: Tensor, values: Tensor, mask: Tensor
    ) -> Tensor:
        """Outside training, of pixels' keys and values that have been made for several layers."""
        attended = self.multihead_attn.to_projected(queries + query_positions, keys, values, mask)
        return self.norm(queries + attended)


class FeedForwardLayer(nn.Module):
    """Two linear layers on each query."""

    def __init__(self, dim: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = Linear(dim, ffn_dim)
        self.linear2 = Linear(ffn_dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, queries: Tensor) -> Tensor:
        hidden = self.dropout(self.linear1(queries, relu=True))
        return self.norm(queries + self.dropout(self.linear2(hidden)))


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer(x, relu=True)
        return self.layers[-1](x)


class TransformerDecoder(nn.Module):
    """Learned queries, refined by masked attention to the pixel decoder's maps in turn."""

    @configurable
    def __init__(
        self,
        *,
        num_outputs: int,
        dim: int,
        mask_dim: int,
        num_queries: int,
        num_heads: int,
        num_layers: int,
        num_levels: int,
        ffn_dim: int,
        dropout: float,
        mask_pooling: bool = False,
    ) -> None:
        """
        Args:
            num_outputs: class logits, no-object included.
            dim: width C of the queries and of the maps.
            mask_dim: channels of the mask features.
            num_queries: Q.
            num_heads, num_layers, ffn_dim, dropout: of the layers.
            num_levels: how many maps the pixel decoder gives.
            mask_pooling: whether class embeddings see the mask features in their masks.
        """
        super().__init__()
        self.num_levels = num_levels
        self.transformer_self_attention_layers = nn.ModuleList(
            SelfAttentionLayer(dim, num_heads, dropout) for _ in range(num_layers)
        )
        self.transformer_cross_attention_layers = nn.ModuleList(
            CrossAttentionLayer(dim, num_heads, dropout) for _ in range(num_layers)
        )
        self.transformer_ffn_layers = nn.ModuleList(
            FeedForwardLayer(dim, ffn_dim, dropout) for _ in range(num_layers)
        )
        self.decoder_norm = nn.LayerNorm(dim)
        self.query_feat = nn.Embedding(num_queries, dim)
        self.query_embed = nn.Embedding(num_queries, dim)
        self.level_embed = nn.Embedding(num_levels, dim)
        # Of keys and values at each level, for all layers that look there.
        self._products = [(PackedProduct(), PackedProduct()) for _ in range(num_levels)]
        self.class_embed = nn.Linear(dim, num_outputs)
        self.mask_embed = MLP([dim, dim, dim, mask_dim])
        self.mask_pooling = mask_pooling
        if mask_pooling:
            self.pooled_embed = nn.Linear(mask_dim, dim)
            self.pooled_norm = nn.LayerNorm(dim)

    @classmethod
    def from_config(cls, cfg: CfgNode, num_outputs: int) -> dict:
        s = cfg.MODEL.SEGMENTER
        return {
            "num_outputs": num_outputs,
            "dim": s.HIDDEN_DIM,
            "mask_dim": s.MASK_DIM,
            "num_queries": s.NUM_QUERIES,
            "num_heads": s.NUM_HEADS,
            "num_layers": s.DECODER_LAYERS,
            "num_levels": len(s.ENCODER_FEATURES),
            "ffn_dim": s.DECODER_FFN_DIM,
            "dropout": s.DECODER_DROPOUT,
            "mask_pooling": s.MASK_POOLING,
        }

    def forward(
        self,
        multi_scale: Sequence[Tensor],
        mask_features: Tensor,
        projection: nn.Conv2d | None = None,
    ) -> QueryPredictions:
        """
        Args:
            multi_scale: (B, C, h, w) maps, coarsest first.
            mask_features: (B, MASK_DIM, H/4, W/4).
            projection: makes those, and has not yet: see :class:`MaskFeatures`.
        """
        pixels, positions = [], []
        for feature_map, embedding in zip(multi_scale, self.level_embed.weight, strict=True):
            channels, height, width = feature_map.shape[-3:]
            encoding = sine_positions(height, width, channels, feature_map.device)
            pixels.append(feature_map.flatten(2).transpose(1, 2) + embedding)
            positions.append(encoding.flatten(1).T.to(feature_map.dtype).contiguous())

        batch = mask_features.shape[0]
        queries = self.query_feat.weight.expand(batch, -1, -1)
        query_positions = self.query_embed.weight
        sizes = [(m.shape[-2], m.shape[-1]) for m in multi_scale]
        # Masks are linear in the features, and so is resizing: those that say where to look are
        # made at the size at which they are asked for. With channels last this takes a CPU a
        # third of the time.
        with torch.no_grad():
            nearby = MaskFeatures(channels_last(mask_features, mask_features.dtype), projection)
            features = [nearby.resized(size) for size in sizes]
        dtype = packed_dtype(mask_features)
        if dtype is not None and self.query_feat.weight.is_inference():
            dtype = None
        projected = [] if dtype is None else self._projected(pixels, positions, dtype)
        finest = MaskFeatures(mask_features, projection)
        embeddings, kernels, looked = [self.decoder_norm(queries)], [], []
        cross_attend: Any  # with two ways to do so
        for i, (cross_attend, self_attend, feed_forward) in enumerate(
            zip(
                self.transformer_cross_attention_layers,
                self.transformer_self_attention_layers,
                self.transformer_ffn_layers,
                strict=True,
            )
        ):
            level = i % self.num_levels
            kernels.append(self.mask_embed(embeddings[-1]))
            looked.append(features[level].masks(kernels[-1].detach()))
            if dtype is None:
                queries = cross_attend(
                    queries,
                    query_positions,
                    pixels[level],
                    positions[level],
                    visible_pixels(looked[-1]),
                )
            else:
                mask = attention_mask(looked[-1], dtype)
                queries = cross_attend.to_projected(queries, query_positions, *projected[i], mask)
            queries = feed_forward(self_attend(queries, query_positions))
            embeddings.append(self.decoder_norm(queries))
        kernels.append(self.mask_embed(embeddings[-1]))
        if self.training:
            # All are supervised: in one product, of which the gradient is one, too.
            masks = finest.masks(torch.cat(kernels, 1)).chunk(len(kernels), 1)
            maps = [finest] * len(kernels)
        else:
            masks = (*looked, finest.masks(kernels[-1]))
            maps = [*(features[i % self.num_levels] for i in range(len(looked))), finest]
        *auxiliary, last = (
            self.predictions(*parts) for parts in zip(embeddings, masks, maps, strict=True)
        )
        shown = mask_features if self.training else None
        return replace(last, auxiliary=auxiliary, features=shown)

    def _projected(
        self, pixels: Sequence[Tensor], positions: Sequence[Tensor], dtype: torch.dtype
    ) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of every layer, in one product each of a level's pixels."""
        layers: Any = self.transformer_cross_attention_layers
        attentions = [layer.multihead_attn for layer in layers]
        made: list[Any] = [None] * len(attentions)
        for level, (of_keys, of_values) in enumerate(self._products[: len(attentions)]):
            here = slice(level, None, self.num_levels)
            keys = project(of_keys, pixels[level] + positions[level], dtype, attentions[here], 1)
            values = project(of_values, pixels[level], dtype, attentions[here], 2)
            made[here] = zip(keys, values, strict=True)
        return made

    def predictions(
        self, embeddings: Tensor, masks: Tensor, features: MaskFeatures
    ) -> QueryPredictions:
        """Of queries with their embeddings (B, Q, C) and masks, logits (B, Q, h, w) of features."""
        if self.mask_pooling:
            pooled = self.pooled_embed(features.means(masks.detach()))
            embeddings = self.pooled_norm(embeddings + pooled)
        return QueryPredictions(self.class_embed(embeddings), masks, embeddings)

    def segment_logits(self, features: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Class logits (S, outputs) of true segments by what is in their masks alone.

        Args:
            features: (B, C, h, w) mask features.
            masks: of each image, (S_i, H, W) bool, no mask empty.
        """
        means = []
        for of_image, shown in zip(features, masks, strict=True):
            if len(shown):  # nothing else can be resized
                shares = F.interpolate(shown[None].float(), of_image.shape[-2:], mode="area")[0]
                weights = F.normalize(shares.flatten(1), p=1.0, dim=1).to(of_image.dtype)
                means.append(weights @ of_image.flatten(1).T)
        pooled = torch.cat(means) if means else features.new_zeros(0, features.shape[1])
        return self.class_embed(self.pooled_norm(self.pooled_embed(pooled)))
