"""CLIP's image tower: a vision transformer in the joint space of images and texts.

Architectures are open_clip's by name; weights come from OpenAI's archives, open_clip's files and
Hugging Face's, by the table of names in :mod:`pading.vocabulary.clip_names`. Images may have any
size; prompts may take part in any layer.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn
from torch.nn import functional as F

from pading.backbones.clip_shapes import ClipImageShape, check_declared, clip_image_shape
from pading.backbones.convolutional_stem import convolutional_stem
from pading.errors import InputError
from pading.vocabulary.clip_names import image_tower

_TABLE = "positional_embedding"


class ImageTokens(NamedTuple):
    """What the tower says of images, in the joint space; not made unit."""

    image: Tensor
    """(B, D), of the class token."""
    patches: Tensor
    """(B, D, h, w)."""


class QuickGELU(nn.Module):
    """x sigma(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class TokenAttention(nn.Module):
    """Self-attention under CLIP's names, to which tokens may be added that are only looked at."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, tokens: Tensor, beside: Tensor | None = None) -> Tensor:
        """
        Args:
            tokens: (B, T, d).
            beside: (B or 1, n, d), tokens that are looked at and give nothing out.

        Returns:
            (B, T, d).
        """
        width = tokens.shape[-1]
        query, key, value = F.linear(tokens, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        if beside is not None:
            both = F.linear(beside, self.in_proj_weight[width:], self.in_proj_bias[width:])
            both = both.expand(tokens.shape[0], -1, -1)
            key = torch.cat((both[..., :width], key), 1)
            value = torch.cat((both[..., width:], value), 1)
        query, key, value = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (query, key, value)
        )
        found = F.scaled_dot_product_attention(query, key, value)
        return self.out_proj(found.transpose(1, 2).flatten(2))


class ClipBlock(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, shape: ClipImageShape) -> None:
        super().__init__()
        width, inner = shape.width, int(shape.width * shape.mlp_ratio)
        gelu: nn.Module = QuickGELU() if shape.quick_gelu else nn.GELU()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = TokenAttention(width, width // shape.head_width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(c_fc=nn.Linear(width, inner), gelu=gelu, c_proj=nn.Linear(inner, width))
        )

    def forward(self, tokens: Tensor, beside: Tensor | None = None) -> Tensor:
        """As :meth:`TokenAttention.forward`."""
        looked_at = None if beside is None else self.ln_1(beside)
        tokens = tokens + self.attn(self.ln_1(tokens), looked_at)
        return tokens + self.mlp(self.ln_2(tokens))


class ClipImageTower(Backbone):
    """Images of any size to a vector of the image and one of every patch."""

    def __init__(self, shape: ClipImageShape) -> None:
        """
        Raises:
            InputError: sizes that do not divide each other.
        """
        super().__init__()
        for large, small in (("width", "head_width"), ("image_size", "patch_size")):
            if getattr(shape, large) % getattr(shape, small):
                raise InputError(
                    f"MODEL.CLIP: {large} {getattr(shape, large)} is no multiple of {small} "
                    f"{getattr(shape, small)}"
                )
        self.shape = shape
        width, patch = shape.width, shape.patch_size
        side = shape.image_size // patch
        self.stem = convolutional_stem(width, patch) if shape.stem else nn.Identity()
        inside, patch = (width, 1) if shape.stem else (3, patch)
        self.conv1 = nn.Conv2d(inside, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        table = torch.randn(1 + side * side, width) * width**-0.5
        self.positional_embedding = nn.Parameter(table)
        self.ln_pre = nn.LayerNorm(width)
        blocks = nn.ModuleList([ClipBlock(shape) for _ in range(shape.layers)])
        self.transformer = nn.ModuleDict({"resblocks": blocks})
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.randn(width, shape.embed_dim) * width**-0.5)

    def forward(
        self,
        images: Tensor,
        prompts: Sequence[Tensor] = (),
        keep: bool = False,
        norm: Callable[[Tensor], Tensor] | None = None,
        class_embeddings: int = 1,
    ) -> ImageTokens:
        """
        Args:
            images: (B, 3, H, W) normalised; what is beyond whole patches is not looked at.
            prompts: (B or 1, n, d) for layer 0, 1, ..., not more than there are layers; later
                layers run without.
            keep: the prompts of layer 0, the only ones, go through all layers as tokens do.
            norm: of the tokens (B, T, d) after the last layer, before ``ln_post``.
            class_embeddings: see :meth:`embed`.
        """
        tokens = self.embed(images, class_embeddings)
        if keep and prompts:
            first = prompts[0].expand(tokens.shape[0], -1, -1)
            tokens = torch.cat((tokens[:, :1], first, tokens[:, 1:]), 1)
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, prompts[i] if i < len(prompts) and not keep else None)
        height, width = self.grid(images)
        if keep and prompts:
            tokens = torch.cat((tokens[:, :1], tokens[:, -height * width :]), 1)
        joint = self.joint(tokens if norm is None else norm(tokens))
        return ImageTokens(joint[:, 0], joint[:, 1:].transpose(1, 2).unflatten(2, (height, width)))

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers, in order."""
        return self.transformer["resblocks"]  # type: ignore[return-value]

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Patches of images, down and across."""
        patch = self.shape.patch_size
        return images.shape[-2] // patch, images.shape[-1] // patch

    def embed(self, images: Tensor, class_embeddings: int = 1) -> Tensor:
        """Images to the tokens of layer 0.

        Args:
            images: (B, 3, H, W).
            class_embeddings: how often the class embedding is added to its position; 1 in CLIP.

        Returns:
            (B, 1 + h w, d), the class token first.
        """
        patches = self.conv1(self.stem(images)).flatten(2).transpose(1, 2)
        table = resized_table(self.positional_embedding, self.grid(images))
        first = table[:1] + class_embeddings * self.class_embedding
        tokens = torch.cat((first.expand(images.shape[0], 1, -1), patches + table[1:]), 1)
        return self.ln_pre(tokens)

    def joint(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, d) after the last layer to the joint space (B, T, D)."""
        return self.ln_post(tokens) @ self.proj

    def own_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The image tower out of a file of CLIP's weights, in float32.

        Its table of positions is resized once to that of this tower.

        Raises:
            InputError: no image tower of CLIP, or one of another size.
        """
        found = image_tower(weights)
        if "class_embedding" not in found:
            raise InputError(
                "these are no weights of a CLIP with a vision transformer; give OpenAI's archive, "
                "a file of open_clip, or a Hugging Face CLIPModel"
            )
        wanted = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        side = self.shape.image_size // self.shape.patch_size
        table = found.get(_TABLE)
        if table is not None and math.isqrt(len(table) - 1) ** 2 == len(table) - 1:
            found[_TABLE] = resized_table(table.float(), (side, side))
        for name in {**wanted, **found}:
            theirs = tuple(found[name].shape) if name in found else "missing"
            if theirs != wanted.get(name):
                raise InputError(
                    f"CLIP's image tower has {name} {theirs} in the file, but "
                    f"{wanted.get(name, 'none')} in the model; MODEL.CLIP.NAME must name the "
                    "architecture of these weights"
                )
        return {n: v.float() if v.is_floating_point() else v for n, v in found.items()}

    def check_file(self, path: str) -> None:
        """Refuse a file of which is known that its weights are another tower's of equal sizes.

        Raises:
            InputError: see :func:`~pading.backbones.clip_shapes.check_declared`.
        """
        check_declared(self.shape, path)

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {"patches": ShapeSpec(channels=self.shape.embed_dim, stride=self.size_divisibility)}

    @property
    def size_divisibility(self) -> int:
        return self.shape.patch_size


def resized_table(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """A table of positions (1 + s s, d) for another grid: (1 + h w, d), bilinear."""
    side = math.isqrt(len(table) - 1)
    # To an exported graph the grid is a symbol; resized to its own size a table stays as it is.
    if not torch.compiler.is_exporting() and grid == (side, side):
        return table
    square = table[1:].T.reshape(1, -1, side, side)
    resized = F.interpolate(square, grid, mode="bilinear", align_corners=False)
    return torch.cat((table[:1], resized[0].flatten(1).T))


@BACKBONE_REGISTRY.register()
def build_clip_image_tower(cfg: CfgNode, input_shape: ShapeSpec | None = None) -> ClipImageTower:
    """The tower that MODEL.CLIP asks for."""
    section = cfg.MODEL.CLIP
    changes = dict(zip(section.OPTIONS[::2], section.OPTIONS[1::2], strict=True))
    if section.IMAGE_SIZE:
        changes["image_size"] = section.IMAGE_SIZE
    return ClipImageTower(clip_image_shape(section.NAME, **changes))
