"""The masked-attention transformer decoder (Mask2Former, section 3.2).

Parameter names are the published ones, so that published checkpoints load.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn import functional as F

from pading.layers.attention import MultiheadAttention
from pading.layers.positions import sine_positions
from pading.structures import QueryPredictions


class SelfAttentionLayer(nn.Module):
    """Queries attend to each other."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(dim, num_heads, dropout)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, positions: Tensor) -> Tensor:
        placed = queries + positions
        return self.norm(queries + self.dropout(self.self_attn(placed, placed, queries)))


class CrossAttentionLayer(nn.Module):
    """Queries attend to the pixels inside their own masks."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.multihead_attn = MultiheadAttention(dim, num_heads, dropout)
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


class FeedForwardLayer(nn.Module):
    """Two linear layers on each query."""

    def __init__(self, dim: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, queries: Tensor) -> Tensor:
        hidden = self.dropout(F.relu(self.linear1(queries)))
        return self.norm(queries + self.dropout(self.linear2(hidden)))


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
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

    def forward(self, multi_scale: Sequence[Tensor], mask_features: Tensor) -> QueryPredictions:
        """
        Args:
            multi_scale: (B, C, h, w) maps, coarsest first.
            mask_features: (B, MASK_DIM, H/4, W/4).
        """
        pixels, positions = [], []
        for feature_map, embedding in zip(multi_scale, self.level_embed.weight, strict=True):
            channels, height, width = feature_map.shape[-3:]
            encoding = sine_positions(height, width, channels, feature_map.device).flatten(1).T
            pixels.append(feature_map.flatten(2).transpose(1, 2) + embedding)
            positions.append(encoding.to(feature_map.dtype))

        batch = mask_features.shape[0]
        queries = self.query_feat.weight.expand(batch, -1, -1)
        query_positions = self.query_embed.weight
        sizes = [feature_map.shape[-2:] for feature_map in multi_scale]
        # Masks are linear in the features, and so is resizing: those that say where to look are
        # made at the size at which they are asked for. With channels last this takes a CPU a
        # third of the time.
        with torch.no_grad():
            finest = mask_features.contiguous(memory_format=torch.channels_last)
            features = [
                F.interpolate(finest, size, mode="bilinear", align_corners=False) for size in sizes
            ]
        embeddings, kernels, looked = [self.decoder_norm(queries)], [], []
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
            looked.append(masks_of(kernels[-1].detach(), features[level]))
            queries = cross_attend(
                queries,
                query_positions,
                pixels[level],
                positions[level],
                visible_pixels(looked[-1]),
            )
            queries = feed_forward(self_attend(queries, query_positions))
            embeddings.append(self.decoder_norm(queries))
        kernels.append(self.mask_embed(embeddings[-1]))
        if self.training:
            # All are supervised: in one product, of which the gradient is one, too.
            masks = masks_of(torch.cat(kernels, 1), mask_features).chunk(len(kernels), 1)
            maps = [mask_features] * len(kernels)
        else:
            masks = (*looked, masks_of(kernels[-1], mask_features))
            maps = [*(features[i % self.num_levels] for i in range(len(looked))), mask_features]
        *auxiliary, last = (
            self.predictions(*parts) for parts in zip(embeddings, masks, maps, strict=True)
        )
        shown = mask_features if self.training else None
        return replace(last, auxiliary=auxiliary, features=shown)

    def predictions(self, embeddings: Tensor, masks: Tensor, features: Tensor) -> QueryPredictions:
        """Of queries with their embeddings (B, Q, C) and masks, logits (B, Q, h, w) of a map."""
        if self.mask_pooling:
            pooled = self.pooled_embed(mask_means(features, masks.detach()))
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


def mask_means(features: Tensor, masks: Tensor) -> Tensor:
    """Mean features (B, Q, C) of the pixels in each query's mask, weighed by their chances.

    Args:
        features: (B, C, h, w).
        masks: (B, Q, h, w) mask logits.
    """
    # Chances over their sum, also where all of them are too small for a number.
    weights = F.logsigmoid(masks.flatten(2)).softmax(-1)
    return weights @ features.flatten(2).transpose(1, 2)


def masks_of(kernels: Tensor, mask_features: Tensor) -> Tensor:
    """(B, Q, MASK_DIM) mask embeddings of queries to mask logits (B, Q, h, w)."""
    return torch.einsum("bqc,bchw->bqhw", kernels, mask_features)


@torch.no_grad()
def visible_pixels(masks: Tensor) -> Tensor:
    """Where each query may look: inside its mask, or everywhere where the mask is empty.

    Args:
        masks: (B, Q, h, w) mask logits, of the map to attend to.

    Returns:
        (B, Q, h * w) bool.
    """
    visible = masks.flatten(2) >= 0  # sigmoid >= 0.5
    return visible | ~visible.any(-1, keepdim=True)
