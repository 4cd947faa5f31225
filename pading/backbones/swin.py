"""Swin Transformer backbone (Liu et al., ICCV 2021) with the published parameter names.

Ours rather than timm's, which pads after the cyclic shift where the published segmenters pad before
it: with the same weights the two agree where every map divides into windows, and nowhere else.
"""

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth


class WindowAttention(nn.Module):
    """Self-attention within square windows; every relative position has a bias (equation 4)."""

    relative_position_index: Tensor

    def __init__(self, dim: int, window: int, num_heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * window - 1) ** 2, num_heads)
        )
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_index(window))

    def forward(self, windows: Tensor, same_region: Tensor | None) -> Tensor:
        """
        Args:
            windows: (B, W, T, C): W windows of T tokens each.
            same_region: (W, T, T) bool, which tokens of a window belonged together before the
                cyclic shift.

        Returns:
            (B, W, T, C).
        """
        q, k, v = self.qkv(windows).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if same_region is not None:
            # As published: -100 rather than minus infinity.
            bias = bias + torch.where(same_region, 0.0, -100.0).to(bias.dtype)[:, None]
        if torch.compiler.is_exporting():
            mixed = _attention_of_four_axes(q, k, v, bias)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(mixed.transpose(-3, -2).flatten(-2))


def _attention_of_four_axes(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention of (B, W, M, T, C) with a bias (M, T, T) or (W, M, T, T), as ONNX has it."""
    shape = (q.shape[0], q.shape[1])
    bias = bias.expand(*shape, *bias.shape[-3:]).flatten(0, 1)
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    # In the order of its axes, whichever kernel made it: graphs do not know of memory.
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias).contiguous()
    return mixed.unflatten(0, shape)


def relative_index(window: int) -> Tensor:
    """(T, T) row of the bias table for each pair of tokens of a window."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = y.flatten(), x.flatten()
    dy, dx = y[:, None] - y + window - 1, x[:, None] - x + window - 1
    return dy * (2 * window - 1) + dx


class SwinBlock(nn.Module):
    """Window attention, shifted in every second block, and a feed-forward block; both pre-norm."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window: int,
        shift: int,
        mlp_ratio: float,
        qkv_bias: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, window, num_heads, qkv_bias)
        self.drop_path = StochasticDepth(drop_path, "row")
        self.norm2 = nn.LayerNorm(dim)
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, hidden), "fc2": nn.Linear(hidden, dim)})

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, H, W, C)."""
        x = x + self.drop_path(self._attend(self.norm1(x)))
        hidden = F.gelu(self.mlp["fc1"](self.norm2(x)))
        return x + self.drop_path(self.mlp["fc2"](hidden))

    def _attend(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        # Zeros fill the last windows and take part, as in the published models. As whole windows,
        # so that sizes that are symbols are known to divide.
        rows, columns = (-(-side // self.window) * self.window for side in (height, width))
        x = F.pad(x, (0, 0, 0, columns - width, 0, rows - height))
        padded = (rows, columns)
        same_region = None
        if self.shift:
            x = x.roll((-self.shift, -self.shift), dims=(1, 2))
            same_region = self._same_region(padded, x.device)
        windows = self.attn(_to_windows(x, self.window), same_region)
        x = _from_windows(windows, self.window, padded)
        if self.shift:
            x = x.roll((self.shift, self.shift), dims=(1, 2))
        return x[:, :height, :width]

    def _same_region(self, size: Sequence[int], device: torch.device) -> Tensor:
        """(W, T, T) bool: pairs that the cyclic shift has not brought together from afar."""

        def strip(length: int) -> Tensor:
            index = torch.arange(length, device=device)
            return (index >= length - self.window).int() + (index >= length - self.shift).int()

        region = strip(size[0])[:, None] * 3 + strip(size[1])
        region = _to_windows(region[None, :, :, None], self.window)[0, :, :, 0]
        return region[:, :, None] == region[:, None, :]


def _to_windows(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C) -> (B, windows, window * window, C)."""
    x = x.unflatten(1, (-1, window)).unflatten(3, (-1, window))
    return x.transpose(2, 3).flatten(1, 2).flatten(2, 3)


def _from_windows(windows: Tensor, window: int, size: Sequence[int]) -> Tensor:
    """The inverse of :func:`_to_windows`."""
    x = windows.unflatten(2, (window, window))
    x = x.unflatten(1, (size[0] // window, size[1] // window))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


class PatchMerging(nn.Module):
    """Halves height and width and doubles the channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, ceil(H/2), ceil(W/2), 2 C)."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        quarters = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(quarters, dim=-1)))


class SwinStage(nn.Module):
    """Blocks of one resolution, then the step to the next."""

    def __init__(
        self, dim: int, window: int, drop_paths: Sequence[float], last: bool, **block
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(dim, window=window, shift=window // 2 * (i % 2), drop_path=rate, **block)
            for i, rate in enumerate(drop_paths)
        )
        self.downsample = None if last else PatchMerging(dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) -> the same shape, and the next stage's input (after the last: the same)."""
        for block in self.blocks:
            x = block(x)
        return x, x if self.downsample is None else self.downsample(x)


class PatchEmbedding(nn.Module):
    """Non-overlapping patches to tokens."""

    def __init__(self, patch: int, dim: int, norm: bool) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(3, dim, patch, stride=patch)
        self.norm = nn.LayerNorm(dim) if norm else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, ceil(H/patch), ceil(W/patch), C)."""
        height, width = image.shape[-2:]
        image = F.pad(image, (0, -width % self.patch, 0, -height % self.patch))
        return self.norm(self.proj(image).permute(0, 2, 3, 1))


@BACKBONE_REGISTRY.register()
class SwinTransformer(Backbone):
    """Swin Transformer that gives the outputs of its stages as res2 to res5."""

    @configurable
    def __init__(
        self,
        *,
        patch_size: int,
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: int,
        mlp_ratio: float,
        qkv_bias: bool,
        drop_path_rate: float,
        patch_norm: bool,
        out_features: Sequence[str],
    ) -> None:
        """
        Args:
            patch_size: pixels per token at the first stage.
            embed_dim: channels of the first stage; each next stage doubles them.
            depths, num_heads: blocks and heads of each stage.
            window_size: tokens per side of an attention window.
            mlp_ratio: feed-forward width relative to the stage's.
            qkv_bias: whether queries, keys and values have a bias.
            drop_path_rate: stochastic depth of the last block; it grows linearly from 0.
            patch_norm: normalise the patch embedding.
            out_features: which of "res2", "res3", ... to give.
        """
        super().__init__()
        self.patch_embed = PatchEmbedding(patch_size, embed_dim, patch_norm)
        rates = torch.linspace(0, drop_path_rate, sum(depths)).split(list(depths))
        self.layers = nn.ModuleList()
        self._out_features = list(out_features)
        self._out_feature_channels, self._out_feature_strides = {}, {}
        for i, heads in enumerate(num_heads):
            dim = embed_dim * 2**i
            self.layers.append(
                SwinStage(
                    dim,
                    window_size,
                    rates[i].tolist(),
                    last=i == len(depths) - 1,
                    num_heads=heads,
                    mlp_ratio=mlp_ratio,
                    qkv_bias=qkv_bias,
                )
            )
            if f"res{i + 2}" in out_features:
                self.add_module(f"norm{i}", nn.LayerNorm(dim))
                self._out_feature_channels[f"res{i + 2}"] = dim
                self._out_feature_strides[f"res{i + 2}"] = patch_size * 2**i
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        return {key.lower(): value for key, value in cfg.MODEL.SWIN.items()}

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """
        Args:
            image: (B, 3, H, W), normalised.

        Returns:
            maps (B, channels, H / stride, W / stride) by name.
        """
        x = self.patch_embed(image)
        features = {}
        for i, stage in enumerate(self.layers):
            own, x = stage(x)
            if f"res{i + 2}" in self._out_features:
                normalised = getattr(self, f"norm{i}")(own)
                features[f"res{i + 2}"] = normalised.permute(0, 3, 1, 2).contiguous()
        return features

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {
            name: ShapeSpec(
                channels=self._out_feature_channels[name], stride=self._out_feature_strides[name]
            )
            for name in self._out_features
        }

    @property
    def size_divisibility(self) -> int:
        """Any size works: the stages pad."""
        return 0
