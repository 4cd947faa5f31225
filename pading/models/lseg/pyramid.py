"""From a configuration to what makes maps of several scales: a backbone, and what follows it."""

from typing import NamedTuple

from detectron2.config import CfgNode
from detectron2.modeling import Backbone, build_backbone

from pading.errors import InputError
from pading.models.lseg.reassembly import Readout, Reassembly
from pading.models.lseg.token_backbone import TokenBackbone


class Pyramid(NamedTuple):
    """The parts of a network below the fusion."""

    backbone: Backbone
    """Gives maps of several scales, or tokens at four depths."""
    features: list[str]
    """Its outputs that are used, the finest first."""
    reassembly: Reassembly | None
    """From tokens to maps."""

    @property
    def widths(self) -> list[int]:
        """Channels of the maps."""
        if self.reassembly is not None:
            return self.reassembly.channels
        shapes = self.backbone.output_shape()
        return [shapes[name].channels for name in self.features]

    @property
    def divisor(self) -> int:
        """What height and width of images are padded to multiples of."""
        shapes = self.backbone.output_shape()
        coarsest = max(shapes[name].stride for name in self.features)
        return max(self.backbone.size_divisibility, coarsest)


def build_pyramid(cfg: CfgNode) -> Pyramid:
    """What MODEL.BACKBONE, MODEL.TOKENS and MODEL.LSEG.FEATURES ask for.

    Raises:
        InputError: a readout of a class token that there is not, or outputs that the backbone
            does not give.
    """
    backbone = build_backbone(cfg)
    shapes = backbone.output_shape()
    if isinstance(backbone, TokenBackbone):
        section = cfg.MODEL.TOKENS
        readout: Readout = section.READOUT
        if readout != "ignore" and not backbone.has_class_token:
            raise InputError(
                f"MODEL.TOKENS.READOUT is {readout!r}, but {section.NAME} has no class token; "
                "set it to 'ignore'"
            )
        channels = section.CHANNELS
        reassembly = Reassembly(backbone.width, backbone.patch_size, channels, readout)
        return Pyramid(backbone, list(shapes), reassembly)
    wanted = cfg.MODEL.LSEG.FEATURES
    missing = [name for name in wanted if name not in shapes]
    if missing:
        raise InputError(
            f"MODEL.LSEG.FEATURES has {missing[0]!r}, which the backbone does not give; take some "
            f"of {', '.join(shapes)}"
        )
    return Pyramid(backbone, sorted(wanted, key=lambda name: shapes[name].stride), None)
