"""The pixel decoder: multi-scale deformable attention over three backbone maps, then one FPN step.

Mask2Former (Cheng et al., CVPR 2022, section 3.2.1) with the encoder of Deformable DETR (Zhu et
al., ICLR 2021). Parameter names are the published ones, so that published checkpoints load.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from fvcore.nn import weight_init
from pading_ops import ms_deform_attn
from torch import Tensor, nn
from torch.nn import functional as F

from pading.layers.deformable_gathers import ms_deform_attn_gathers
from pading.layers.packed import pack_convolutions
from pading.layers.packed_linear import Linear, short_softmax
from pading.layers.positions import sine_positions


class PixelFeatures(NamedTuple):
    """What the pixel decoder gives."""

    mask_features: Tensor
    """(B, MASK_DIM, H/4, W/4): their product with a query's mask embedding is its mask logits."""
    multi_scale: list[Tensor]
    """One (B, C, h, w) map per encoder level, coarsest first."""


class Levels(NamedTuple):
    """Layout of several feature maps flattened into one sequence of S tokens."""

    shapes: Tensor
    """(L, 2) int64, (height, width) of each."""
    starts: Tensor
    """(L,) int64, where each begins in the sequence."""
    sizes: list[tuple[int, int]]
    """The shapes again, as numbers (symbols in an exported graph)."""

    @classmethod
    def of(cls, maps: Sequence[Tensor]) -> "Levels":
        sizes = [(m.shape[-2], m.shape[-1]) for m in maps]
        shapes = torch.tensor(sizes)
        areas = shapes.prod(1)
        device = maps[0].device
        return cls(shapes.to(device), (areas.cumsum(0) - areas).to(device), sizes)


class MSDeformAttn(nn.Module):
    """Multi-scale deformable self-attention (Deformable DETR, equation 3)."""

    def __init__(self, dim: int, num_levels: int, num_heads: int, num_points: int) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"width {dim} does not divide into {num_heads} heads")
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = Linear(dim, samples * 2)
        self.attention_weights = Linear(dim, samples)
        self.value_proj = Linear(dim, dim)
        self.output_proj = Linear(dim, dim)
        self._initialise()

    def _initialise(self) -> None:
        # Each head starts by looking in a direction of its own, its points 1, 2, ... cells away.
        angle = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        direction = torch.stack((angle.cos(), angle.sin()), dim=-1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        distance = torch.arange(1, self.num_points + 1)
        offsets = direction[:, None, None, :] * distance[None, None, :, None]
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            bias = offsets.expand(-1, self.num_levels, -1, -1).flatten()
            self.sampling_offsets.bias.copy_(bias)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(self, query: Tensor, reference: Tensor, tokens: Tensor, levels: Levels) -> Tensor:
        """Gather from the levels around each query's reference point.

        Args:
            query: (B, Q, C).
            reference: (Q, samples * 2), x and y in [0, 1] in turn, again for each sample.
            tokens: (B, S, C), the flattened levels.
            levels: their layout.

        Returns:
            (B, Q, C).
        """
        heads = (self.num_heads, self.num_levels, self.num_points)
        value = self.value_proj(tokens).unflatten(-1, (self.num_heads, -1))
        weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1))
        weights = short_softmax(weights).unflatten(-1, heads[1:])
        cell = levels.shapes.flip(-1)[:, None].float().reciprocal()  # (L, 1, 2) as (width, height)
        # Locations stay in float32 under autocast: half types cannot tell neighbouring cells apart.
        # One long axis: short ones take a CPU twenty times as long.
        locations = torch.addcmul(
            reference,
            self.sampling_offsets(query).float(),
            cell.expand(*heads, 2).flatten(),
        ).unflatten(-1, (*heads, 2))
        if torch.compiler.is_exporting():
            mixed = ms_deform_attn_gathers(value, levels.sizes, locations, weights)
        else:
            mixed = ms_deform_attn(value, levels.shapes, levels.starts, locations, weights)
        return self.output_proj(mixed)


class EncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward block, both post-norm."""

    def __init__(
        self,
        dim: int,
        ffn_dim: int,
        dropout: float,
        num_levels: int,
        num_heads: int,
        num_points: int,
    ) -> None:
        super().__init__()
        self.self_attn = MSDeformAttn(dim, num_levels, num_heads, num_points)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = Linear(dim, ffn_dim)
        self.linear2 = Linear(ffn_dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self, tokens: Tensor, positions: Tensor, reference: Tensor, levels: Levels
    ) -> Tensor:
        attended = self.self_attn(tokens + positions, reference, tokens, levels)
        tokens = self.norm1(tokens + self.dropout(attended))
        hidden = self.dropout(self.linear1(tokens, relu=True, then=self.linear2))
        return self.norm2(tokens + self.dropout(self.linear2(hidden)))


class Encoder(nn.Module):
    """The encoder's layers and the learned embedding that tells the levels apart."""

    def __init__(self, dim: int, num_levels: int, num_layers: int, **layer: Any) -> None:
        super().__init__()
        self.level_embed = nn.Parameter(torch.randn(num_levels, dim))
        self.samples = layer["num_heads"] * num_levels * layer["num_points"]
        self.encoder = nn.ModuleDict(
            {
                "layers": nn.ModuleList(
                    EncoderLayer(dim, num_levels=num_levels, **layer) for _ in range(num_layers)
                )
            }
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Encode maps (B, C, h, w) of every level together; the result has the same shapes."""
        levels = Levels.of(maps)
        positions, reference = [], []
        for embedding, level in zip(self.level_embed, maps, strict=True):
            channels, height, width = level.shape[-3:]
            encoding = sine_positions(height, width, channels, level.device).flatten(1).T
            positions.append(encoding.to(level.dtype) + embedding)
            reference.append(cell_centres(height, width, level.device))
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)
        position, place = torch.cat(positions), torch.cat(reference).repeat(1, self.samples)
        for layer in self.encoder["layers"].children():
            tokens = layer(tokens, position, place, levels)
        split = tokens.split([m.shape[-2] * m.shape[-1] for m in maps], dim=1)
        # Channels last; split before axes are moved, else PyTorch does not see it of a single image
        # and resizes that several times as slowly on a CPU.
        return [
            t.unflatten(1, m.shape[-2:]).permute(0, 3, 1, 2)
            for t, m in zip(split, maps, strict=True)
        ]


def cell_centres(height: int, width: int, device: torch.device) -> Tensor:
    """(height * width, 2) centres of a map's cells as (x, y) in (0, 1), row by row."""
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)), -1).flatten(
        0, 1
    )


class PixelDecoder(nn.Module):
    """Backbone features in, mask features and multi-scale maps out."""

    @configurable
    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        *,
        dim: int,
        mask_dim: int,
        encoder_features: Sequence[str],
        features: Sequence[str],
        num_layers: int,
        num_heads: int,
        num_points: int,
        ffn_dim: int,
        dropout: float,
        norm: str,
    ) -> None:
        """
        Args:
            input_shape: channels and strides of the backbone's features by name.
            dim: width C of the encoder and of the maps it gives.
            mask_dim: channels of the mask features.
            encoder_features: names of the features that the encoder attends over.
            features: names of all features used: exactly one more, the finest, for the FPN step.
            num_layers, num_heads, num_points, ffn_dim, dropout: of the encoder.
            norm: Detectron2's name of the FPN step's normalisation, "" for none.
        """
        super().__init__()
        by_stride = sorted(features, key=lambda name: input_shape[name].stride)
        finer = [name for name in by_stride if name not in encoder_features]
        if by_stride[:1] != finer:
            raise ValueError(
                "exactly one feature, the finest, must lie outside the encoder: "
                f"{features} against {encoder_features}"
            )
        self.finest = finer[0]
        # Coarsest first: the order of the published names and of the decoder's rounds.
        self.levels = by_stride[:0:-1]
        self.input_proj = nn.ModuleList(
            _projection(input_shape[name].channels, dim) for name in self.levels
        )
        self.transformer = Encoder(
            dim,
            num_levels=len(self.levels),
            num_layers=num_layers,
            num_heads=num_heads,
            num_points=num_points,
            ffn_dim=ffn_dim,
            dropout=dropout,
        )
        self.adapter_1 = Conv2d(
            input_shape[self.finest].channels, dim, 1, bias=not norm, norm=get_norm(norm, dim)
        )
        self.layer_1 = Conv2d(
            dim, dim, 3, padding=1, bias=not norm, norm=get_norm(norm, dim), activation=F.relu
        )
        self.mask_features = Conv2d(dim, mask_dim, 1)
        for convolution in (self.adapter_1, self.layer_1, self.mask_features):
            weight_init.c2_xavier_fill(convolution)
        pack_convolutions(self)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict:
        s = cfg.MODEL.SEGMENTER
        return {
            "input_shape": input_shape,
            "dim": s.HIDDEN_DIM,
            "mask_dim": s.MASK_DIM,
            "encoder_features": s.ENCODER_FEATURES,
            "features": s.FEATURES,
            "num_layers": s.ENCODER_LAYERS,
            "num_heads": s.ENCODER_HEADS,
            "num_points": s.ENCODER_POINTS,
            "ffn_dim": s.ENCODER_FFN_DIM,
            "dropout": s.ENCODER_DROPOUT,
            "norm": s.NORM,
        }

    def forward(self, features: Mapping[str, Tensor], *, project: bool = True) -> PixelFeatures:
        """
        Args:
            features: backbone maps (B, channels, h, w) by name.
            project: whether the last convolution, ``self.mask_features``, makes the mask features.
        """
        maps = [
            project(features[name])
            for name, project in zip(self.levels, self.input_proj, strict=True)
        ]
        maps = self.transformer(maps)
        lateral = self.adapter_1(features[self.finest])
        coarser = F.interpolate(maps[-1], lateral.shape[-2:], mode="bilinear", align_corners=False)
        finest = self.layer_1(lateral + coarser)
        return PixelFeatures(self.mask_features(finest) if project else finest, maps)


def _projection(channels: int, dim: int) -> nn.Sequential:
    convolution = Conv2d(channels, dim, 1)
    for parameter in convolution.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
    return nn.Sequential(convolution, nn.GroupNorm(32, dim))
