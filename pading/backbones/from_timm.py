"""Backbones from timm: any model that gives feature maps at strides 4, 8, 16 and 32."""

import difflib
from collections.abc import Mapping
from typing import Any

import timm
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from timm.layers import freeze_batch_norm_2d
from torch import Tensor

from pading.errors import InputError

_STRIDES = (4, 8, 16, 32)
_COUNTERS = "num_batches_tracked"  # which not every file has


class TimmBackbone(Backbone):
    """A timm model's feature maps under Detectron2's names: res2 to res5 at strides 4 to 32."""

    def __init__(self, name: str, freeze: bool = False) -> None:
        """
        Args:
            name: of a timm model.
            freeze: keep all its weights and the statistics of its batch norms as they are.

        Raises:
            InputError: timm has no such model, or it gives no such feature maps.
        """
        super().__init__()
        check_timm_model(name)
        self.name = name
        try:
            model = _of_any_size(name)
        except (RuntimeError, AttributeError, AssertionError, TypeError, ValueError) as error:
            raise InputError(
                f"MODEL.TIMM.NAME {name}: timm gives no feature maps of this model ({error}); "
                "take a convolutional or hierarchical one, such as resnet50"
            ) from error
        strides, channels = model.feature_info.reduction(), model.feature_info.channels()
        missing = [stride for stride in _STRIDES if stride not in strides]
        if missing:
            raise InputError(
                f"MODEL.TIMM.NAME {name}: its feature maps have the strides "
                f"{', '.join(map(str, strides))}, but {', '.join(map(str, missing))} is needed; "
                "take a convolutional or hierarchical one, such as resnet50"
            )
        # The last map of each stride: the deepest features of that size.
        places = [len(strides) - 1 - strides[::-1].index(stride) for stride in _STRIDES]
        self._places = dict(zip(("res2", "res3", "res4", "res5"), places, strict=True))
        # By timm, whose batch norms may have an activation in them.
        self.model = freeze_batch_norm_2d(model) if freeze else model
        if freeze:
            self.model.requires_grad_(False)
        self._channels_last = str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")
        self._out_features = list(self._places)
        self._out_feature_strides = dict(zip(self._places, _STRIDES, strict=True))
        self._out_feature_channels = {n: channels[p] for n, p in self._places.items()}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) to maps (B, C, H / stride, W / stride) by name."""
        maps = self.model(x)
        found = {name: maps[place] for name, place in self._places.items()}
        if self._channels_last:
            found = {name: value.permute(0, 3, 1, 2) for name, value in found.items()}
        return found

    def own_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file under the names of this backbone's: all of them, or an error.

        Args:
            weights: of the timm model under timm's names (its classifier is left out); or under
                other names in timm's order, as some packages have them.

        Raises:
            InputError: tensors that are missing, of another shape, or of another model.
        """
        wanted = _without_counters(self.state_dict())
        given = _without_counters(weights)
        # Not on the meta device, on which not every model can be built.
        whole = timm.create_model(self.name, pretrained=False)
        found = _under(wanted, given)
        if len(found) < len(wanted) and (ordered := _in_order(whole.state_dict(), given)):
            given, found = ordered, _under(wanted, ordered)
        missing = [name for name in wanted if name not in found]
        if missing:
            raise InputError(
                f"{len(missing)} of the {len(wanted)} tensors of the backbone {self.name} are "
                f"missing or of another shape, {missing[0]} first; give the weights of this model"
            )
        known = {name for name, _ in (*whole.state_dict().items(), *whole.named_buffers())}
        known = {_joined(name) for name in known}
        unknown = [name for name in given if _joined(name) not in known]
        if unknown:
            raise InputError(
                f"{len(unknown)} of the {len(given)} tensors are none of the model {self.name}, "
                f"{unknown[0]} first; give the weights of this model, or set MODEL.TIMM.NAME to "
                "the model that they are of"
            )
        counters = {n: v for n, v in self.state_dict().items() if n.endswith(_COUNTERS)}
        return {**counters, **found}

    @property
    def size_divisibility(self) -> int:
        return _STRIDES[-1]


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    """The backbone that MODEL.TIMM asks for; MODEL.BACKBONE.FREEZE_AT above 0 freezes it."""
    return TimmBackbone(cfg.MODEL.TIMM.NAME, freeze=cfg.MODEL.BACKBONE.FREEZE_AT > 0)


def _of_any_size(name: str) -> Any:
    """timm's model of feature maps; one that is made for images of one size takes others, too."""
    try:
        return timm.create_model(name, features_only=True, pretrained=False, strict_img_size=False)
    except TypeError:  # most models take any size, and no such argument
        return timm.create_model(name, features_only=True, pretrained=False)


def check_timm_model(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        InputError: gives the nearest names.
    """
    if name.split(".")[0] in timm.list_models():
        return
    near = difflib.get_close_matches(name, timm.list_models(), n=3)
    raise InputError(
        f"MODEL.TIMM.NAME is {name!r}, which timm does not know; "
        + (f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists its models")
    )


def pixel_statistics(cfg: CfgNode) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel: MODEL.PIXEL_MEAN and PIXEL_STD where they were set.

    Where they were not, those that the timm model was trained with, in the order of INPUT.FORMAT.
    """
    given, default = (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD), get_cfg().MODEL
    own = build_timm_backbone.__name__ != cfg.MODEL.BACKBONE.NAME
    if own or given != (default.PIXEL_MEAN, default.PIXEL_STD):
        return given
    mean, std = timm_statistics(cfg.MODEL.TIMM.NAME)
    return (mean, std) if cfg.INPUT.FORMAT == "RGB" else (mean[::-1], std[::-1])


def timm_statistics(name: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel in [0, 255], RGB, that a model was trained with.

    Raises:
        InputError: timm does not know the model.
    """
    check_timm_model(name)
    record = timm.get_pretrained_cfg(name)
    if record is None:
        raise InputError(f"timm has no record of {name}; set MODEL.PIXEL_MEAN and MODEL.PIXEL_STD")
    return [255 * v for v in record.mean], [255 * v for v in record.std]


def _without_counters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if not name.endswith(_COUNTERS)}


def _in_order(whole: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under timm's names, where their order, kinds and shapes are those of timm's model."""

    def signature(weights: Mapping[str, Tensor]) -> list[tuple[str, torch.Size]]:
        return [(name.rpartition(".")[2], value.shape) for name, value in weights.items()]

    wanted = _without_counters(whole)
    if signature(wanted) != signature(given):
        return {}
    return dict(zip(wanted, given.values(), strict=True))


def _under(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the wanted tensors that are there under timm's names, in their shapes."""
    there = {_joined(name): value for name, value in weights.items()}
    found = {}
    for name, own in wanted.items():
        value = there.get(_joined(name))
        if value is not None and value.shape == own.shape:
            found[name] = value
    return found


def _joined(name: str) -> str:
    """What a tensor's names in timm's model and in its model of feature maps have in common.

    The second writes some dots as underscores, and may hold the first as "model", as we do it.
    """
    while name.startswith("model."):
        name = name.removeprefix("model.")
    return name.replace(".", "_")


def token_features(model: Any, images: Tensor, depths: list[int]) -> tuple[list[Tensor], Tensor]:
    """Tokens of a timm vision transformer after some of its blocks.

    Args:
        model: a timm model with ``forward_intermediates``.
        images: (B, 3, H, W).
        depths: numbers of the blocks, from 0.

    Returns:
        for each depth the patch tokens (B, d, h, w), and the class tokens (depths, B, d), of no
        depth where the model has none.
    """
    found = model.forward_intermediates(
        images, indices=depths, return_prefix_tokens=True, intermediates_only=True, norm=False
    )
    maps = [patches for patches, _ in found]
    prefix = [tokens[:, 0] for _, tokens in found if tokens is not None and tokens.shape[1]]
    return maps, torch.stack(prefix) if prefix else maps[0].new_zeros(0)
