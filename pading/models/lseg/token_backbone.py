"""A vision transformer of timm that gives its tokens at four depths."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import timm
import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from pading.backbones.from_timm import token_features
from pading.errors import InputError
from pading.models.lseg.reassembly import resized_positions, size_divisor

PositionResize = Literal["dpt", "timm"]
Tapped = tuple[Tensor, Tensor | None]
"""Patches (B, d, h, w), and the class token (B, d) where there is one."""


@BACKBONE_REGISTRY.register()
class TokenBackbone(Backbone):
    """A vision transformer of timm; nothing of it comes after the last depth that is asked for."""

    vit: Any

    @configurable
    def __init__(
        self,
        *,
        name: str,
        taps: Sequence[int],
        position_resize: PositionResize = "dpt",
        options: dict[str, Any] | None = None,
    ) -> None:
        """
        Args:
            name: timm's, such as "vit_large_patch16_384" or "vit_small_patch14_dinov2".
            taps: blocks, from 0, after which the residual stream is taken; the finest map's first.
            position_resize: how learned positions fit another grid: as DPT has it (bilinear), or as
                timm has (bicubic, antialiased). Without an effect where positions are not learned.
            options: of ``timm.create_model``.

        Raises:
            InputError: timm knows no such model, or it gives no tokens at these depths.
        """
        super().__init__()
        self.name = name
        self.vit = _create(name, {"num_classes": 0, "dynamic_img_size": True, **(options or {})})
        blocks = len(getattr(self.vit, "blocks", ()))
        growing = len(taps) == 4 and list(taps) == sorted(set(taps))
        if not growing or not 0 <= taps[0] <= taps[-1] < blocks:
            raise InputError(
                f"MODEL.TOKENS.TAPS is {list(taps)}; it must be four growing numbers of blocks "
                f"from 0 to {blocks - 1}, the last of {name}"
            )
        self.taps = tuple(taps)
        self.vit.blocks = self.vit.blocks[: taps[-1] + 1]
        self.vit.norm = nn.Identity()
        self.width: int = self.vit.embed_dim
        self.patch_size: int = self.vit.patch_embed.patch_size[0]
        self.prefix: int = self.vit.num_prefix_tokens
        self.has_class_token = getattr(self.vit, "cls_token", None) is not None
        self.fits_positions = position_resize == "dpt" and isinstance(self.vit, VisionTransformer)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        section = cfg.MODEL.TOKENS
        keys, values = section.OPTIONS[::2], section.OPTIONS[1::2]
        return {
            "name": section.NAME,
            "taps": section.TAPS,
            "position_resize": section.POSITION_RESIZE,
            "options": dict(zip(keys, values, strict=True)),
        }

    def forward(self, images: Tensor) -> dict[str, Tapped]:
        """(B, 3, H, W), multiples of the patch size -> patches and class token of every tap."""
        return {f"tap{i}": tapped for i, tapped in enumerate(self._tapped(images), 1)}

    def _tapped(self, images: Tensor) -> list[Tapped]:
        if not self.fits_positions:
            maps, class_tokens = token_features(self.vit, images, list(self.taps))
            return [
                (patches, class_tokens[i] if self.has_class_token else None)
                for i, patches in enumerate(maps)
            ]
        grid = [length // self.patch_size for length in images.shape[-2:]]
        return [
            (
                tokens[:, self.prefix :].transpose(1, 2).unflatten(2, grid),
                tokens[:, 0] if self.has_class_token else None,
            )
            for tokens in self.tokens(images)
        ]

    def tokens(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> of every tap the residual stream (B, prefix + h w, d)."""
        x = self.vit.patch_embed(images)
        grid = (x.shape[1], x.shape[2])
        x = x.flatten(1, 2)
        first = [token for token in (self.vit.cls_token, self.vit.reg_token) if token is not None]
        first = [token.expand(x.shape[0], -1, -1) for token in first]
        positions = self.vit.pos_embed
        if positions is not None and self.vit.no_embed_class:
            x = x + resized_positions(positions, 0, grid)
        x = torch.cat([*first, x], dim=1)
        if positions is not None and not self.vit.no_embed_class:
            x = x + resized_positions(positions, self.prefix, grid)
        x = self.vit.norm_pre(self.vit.patch_drop(self.vit.pos_drop(x)))
        tapped = []
        for i, block in enumerate(self.vit.blocks):
            x = block(x)
            if i in self.taps:
                tapped.append(x)
        return tapped

    def own_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file of timm's weights under this backbone's names.

        What comes after the last tap is left out; positions of another grid are resized.

        Args:
            weights: under timm's names.

        Raises:
            InputError: tensors that are missing, or of another shape.
        """
        found = {}
        for name, wanted in self.state_dict().items():
            value = weights.get(name.removeprefix("vit."))
            if value is not None and name == "vit.pos_embed" and value.shape != wanted.shape:
                prefix = 0 if self.vit.no_embed_class else self.prefix
                side = math.isqrt(wanted.shape[1] - prefix)
                value = resized_positions(value, prefix, (side, side))
            if value is None or value.shape != wanted.shape:
                what = "missing" if value is None else f"{tuple(value.shape)} there"
                raise InputError(
                    f"the weights of the backbone {self.name} do not fit: {name} is "
                    f"{tuple(wanted.shape)} here and {what}; give the weights of this model"
                )
            found[name] = value
        return found

    def output_shape(self) -> dict[str, ShapeSpec]:
        shape = ShapeSpec(channels=self.width, stride=self.patch_size)
        return {f"tap{i}": shape for i in range(1, 5)}

    @property
    def size_divisibility(self) -> int:
        """So that the maps that are made of the tokens have exact sizes."""
        return size_divisor(self.patch_size)


def _create(name: str, options: dict[str, Any]) -> nn.Module:
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:6]
        some = f"; some are {', '.join(near)}" if near else ""
        raise InputError(f"MODEL.TOKENS.NAME: timm knows no model {name!r}{some}")
    try:
        vit = timm.create_model(name, pretrained=False, **options)
    except (TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise InputError(
            f"MODEL.TOKENS: timm's {name!r} cannot be built to give tokens of images of any size "
            f"({error}); name a ViT, or take it as a backbone of four scales"
        ) from error
    if not hasattr(vit, "forward_intermediates") or not hasattr(vit, "patch_embed"):
        raise InputError(
            f"MODEL.TOKENS.NAME: timm's {name!r} is no vision transformer; name a ViT, or take it "
            "as a backbone of four scales"
        )
    return vit
