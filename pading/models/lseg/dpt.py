"""DPT's encoder: a pyramid of four maps out of any backbone of images."""

from collections.abc import Sequence
from typing import Any, Literal

import timm
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from pading.errors import InputError
from pading.models.lseg.reassembly import (
    STRIDES,
    Readout,
    Reassembly,
    resized_positions,
    size_divisor,
)

PositionResize = Literal["dpt", "timm"]


class TokenBackbone(nn.Module):
    """A vision transformer of timm that gives its tokens at four depths."""

    def __init__(
        self,
        name: str,
        taps: Sequence[int],
        position_resize: PositionResize = "dpt",
        **options: Any,
    ) -> None:
        """
        Args:
            name: timm's, such as "vit_large_patch16_384" or "vit_small_patch14_dinov2".
            taps: blocks, from 0, after which the residual stream is taken; the coarsest map's last.
            position_resize: how learned positions fit another grid: as DPT has it (bilinear), or as
                timm has (bicubic, antialiased). Without an effect where positions are not learned.
            options: of ``timm.create_model``.

        Raises:
            InputError: timm knows no such model, or it gives no tokens at these depths.
        """
        super().__init__()
        self.vit = create(name, num_classes=0, dynamic_img_size=True, **options)
        self.taps = tuple(taps)
        blocks = len(getattr(self.vit, "blocks", ()))
        if not blocks or not hasattr(self.vit, "patch_embed"):
            raise InputError(
                f"timm's {name} is no vision transformer with blocks of tokens; "
                "use it as a backbone of four scales, or name a ViT"
            )
        if list(taps) != sorted(set(taps)) or not 0 <= min(taps) <= max(taps) < blocks:
            raise InputError(
                f"the taps {list(taps)} must be four growing numbers of blocks from 0 to "
                f"{blocks - 1}, which {name} has"
            )
        # Nothing comes after the last tap, so nothing is trained, stored or looked for there.
        self.vit.blocks = self.vit.blocks[: max(taps) + 1]
        self.vit.norm = nn.Identity()
        self.width: int = self.vit.embed_dim
        self.patch_size: int = self.vit.patch_embed.patch_size[0]
        self.prefix: int = self.vit.num_prefix_tokens
        self.has_class_token = getattr(self.vit, "cls_token", None) is not None
        self.fits_positions = position_resize == "dpt" and isinstance(self.vit, VisionTransformer)

    def forward(self, images: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """
        Args:
            images: (B, 3, H, W), multiples of the patch size.

        Returns:
            of every tap the patches (B, d, h, w) and the class token (B, d), or None.
        """
        if not self.fits_positions:
            found = self.vit.forward_intermediates(
                images,
                indices=list(self.taps),
                return_prefix_tokens=True,
                output_fmt="NCHW",
                intermediates_only=True,
            )
            pairs = [x if isinstance(x, (tuple, list)) else (x, None) for x in found]
            return [
                (patches, prefix[:, 0] if self.has_class_token and prefix is not None else None)
                for patches, prefix in pairs
            ]
        tapped = self.tokens(images)
        grid = [length // self.patch_size for length in images.shape[-2:]]
        return [
            (
                tokens[:, self.prefix :].transpose(1, 2).unflatten(2, grid),
                tokens[:, 0] if self.has_class_token else None,
            )
            for tokens in tapped
        ]

    def tokens(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> of every tap the residual stream (B, prefix + h w, d)."""
        x = self.vit.patch_embed(images)
        grid = (x.shape[1], x.shape[2])
        x = x.flatten(1, 2)
        first = [token for token in (self.vit.cls_token, self.vit.reg_token) if token is not None]
        first = [token.expand(len(x), -1, -1) for token in first]
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


class DPTBackbone(Backbone):
    """A vision transformer of timm with DPT's reassembly: maps res2 to res5 of four scales."""

    def __init__(self, vit: TokenBackbone, channels: Sequence[int], readout: Readout) -> None:
        """
        Args:
            vit: what gives tokens.
            channels: of the four maps, the finest first.
            readout: see :class:`Reassembly`.

        Raises:
            InputError: a readout of a class token that the backbone lacks.
        """
        super().__init__()
        if readout != "ignore" and not vit.has_class_token:
            raise InputError(
                f"the readout {readout!r} needs a class token, which this backbone lacks; "
                "use 'ignore'"
            )
        self.vit = vit
        self.reassembly = Reassembly(vit.width, vit.patch_size, channels, readout)
        self._channels = tuple(channels)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) -> maps (B, C_i, ..) by name, the finest first."""
        pyramid = self.reassembly(self.vit(images))
        return {f"res{i + 2}": x for i, x in enumerate(pyramid)}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {
            f"res{i + 2}": ShapeSpec(channels=c, stride=stride)
            for i, (c, stride) in enumerate(zip(self._channels, STRIDES, strict=True))
        }

    @property
    def size_divisibility(self) -> int:
        return size_divisor(self.vit.patch_size)


def create(name: str, **options: Any) -> nn.Module:
    """``timm.create_model`` without weights.

    Raises:
        InputError: timm knows no such model, or it does not take these options.
    """
    if not timm.is_model(name):
        known = timm.list_models(f"*{name.split('_')[0]}*")[:8]
        raise InputError(f"timm knows no model {name!r}; some are {', '.join(known) or 'others'}")
    try:
        return timm.create_model(name, pretrained=False, **options)
    except (TypeError, RuntimeError, ValueError) as error:
        raise InputError(f"timm's {name} does not take {options}: {error}") from error
