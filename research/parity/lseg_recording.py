"""What a recording of the published LSeg holds, and the model that it describes, in our terms."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import timm
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import Tensor

from pading.checkpoint.checkpointer import Checkpointer
from pading.config import load_config
from pading.errors import InputError
from pading.files import write_json
from pading.models.lseg.lseg import LSeg
from pading.models.registry import build_model
from pading.vocabulary.clip_text import build_text_tower
from pading.vocabulary.splits import ClassInfo, ClassSplit
from research.parity.recording import Recording

_VITS = {"clip_vitl16_384": "vit_large_patch16_384", "clip_vitb32_384": "vit_base_patch32_384"}
_RESNETS = {"clip_resnet101": "resnet101"}
_BLOCKS = {0: "none", 1: "bottleneck", 2: "depthwise"}
BLOCK_WEIGHTS = "block_weights/"


class LSegRecording(Recording):
    """One ``.npz`` file of weights, images, labels, and what the published LSeg made of them."""

    @cached_property
    def options(self) -> dict[str, Any]:
        """The recorded architecture.

        Raises:
            InputError: a backbone that is none of LSeg's.
        """
        options = self.parsed("config")
        if options.get("backbone") not in {*_VITS, *_RESNETS}:
            raise InputError(f"{self.path}: {options.get('backbone')!r} is no backbone of LSeg's")
        return options

    @property
    def is_zero_shot(self) -> bool:
        """Whether every image has a pair of labels of its own."""
        return "images_rgb" in self

    def configuration(self, settings: Mapping[str, Any]) -> CfgNode:
        """Our configuration of the recorded network, with further settings."""
        base = self._folder / f"{self.name}.yaml"
        write_json(base, {})  # JSON is YAML
        every = {**self._network_settings(), **settings}
        return load_config(str(base), [str(part) for pair in every.items() for part in pair])

    def built(
        self, vectors: Tensor, block: str = "none", activation: str = "lrelu", depth: int = 1
    ) -> LSeg:
        """Our LSeg with the recorded weights, loaded as a published checkpoint is.

        Args:
            vectors: (K, D) of the labels.
            block, activation, depth: of the spatial regularisation.

        Raises:
            InputError: the weights do not fit the recorded architecture.
        """
        cfg = self.configuration(
            {
                "MODEL.LSEG.BLOCK": block,
                "MODEL.LSEG.BLOCK_ACTIVATION": activation,
                "MODEL.LSEG.BLOCK_DEPTH": depth,
            }
        )
        classes = tuple(
            ClassInfo(i + 1, f"label {i}", isthing=True, unseen=False) for i in range(len(vectors))
        )
        model = build_model(cfg, ClassSplit(self.name, classes), vectors)
        assert isinstance(model, LSeg)
        checkpoint = self._folder / f"{self.name}.ckpt"
        torch.save({"state_dict": self._state(block != "none")}, checkpoint)
        Checkpointer(model).load(str(checkpoint))
        return model.eval()

    @cached_property
    def text_tower(self) -> Any:
        """CLIP's text tower out of the recorded weights."""
        text = self.options["text"]
        keys = ("width", "heads", "layers", "context_length", "vocab_size")
        config = {
            "embed_dim": text["embed_dim"],
            "quick_gelu": True,
            "text_cfg": {key: text[key] for key in keys},
        }
        return build_text_tower(self.weights(), config, str(self.path))

    def text_features(self, tokens: Tensor) -> Tensor:
        """(..., length) -> (..., D), not made unit."""
        found = self.text_tower(tokens.flatten(0, -2).long())
        return found.unflatten(0, tokens.shape[:-1])

    def images(self, name: str) -> Tensor:
        """(B, 3, H, W) in [0, 255]."""
        pixels = self.tensor(name)
        return (pixels if pixels.dim() == 4 else pixels[None]).permute(0, 3, 1, 2).float()

    def _state(self, with_block: bool) -> dict[str, Tensor]:
        """The recorded state dict as published: CLIP's part in float16, the rest in float32."""
        state = {
            name: value.half() if ".clip_pretrained." in f".{name}" else value
            for name, value in self.weights().items()
        }
        if with_block:
            state |= {
                name.removeprefix(BLOCK_WEIGHTS): self.tensor(name)
                for name in self.arrays
                if name.startswith(BLOCK_WEIGHTS)
            }
        return state

    def _network_settings(self) -> dict[str, Any]:
        options = self.options
        return {
            **self._backbone_settings(),
            "MODEL.META_ARCHITECTURE": "LSeg",
            "MODEL.DEVICE": "cpu",
            "MODEL.PIXEL_MEAN": [255 * value for value in options["mean"]],
            "MODEL.PIXEL_STD": [255 * value for value in options["std"]],
            "MODEL.LSEG.CHANNELS": options["features"],
            "MODEL.LSEG.TEMPERATURE": 1 / options["logit_scale"],
            "MODEL.INFERENCE.PANOPTIC_ON": False,
            "MODEL.INFERENCE.SEMANTIC_ON": True,
        }

    def _backbone_settings(self) -> dict[str, Any]:
        options = self.options
        if "resnet" in options:
            resnet = options["resnet"]
            widths, outputs = resnet["bottleneck_widths"], resnet["out_channels"]
            planes = [width // 4 for width in outputs]  # timm's, a quarter of the stage's output
            given = {
                "layers": tuple(resnet["blocks"]),
                "channels": tuple(planes),
                "base_width": 64 * widths[0] // planes[0],
                "stem_width": resnet["stem"],
            }
            return {
                "MODEL.BACKBONE.NAME": "RecordedResNet",
                "MODEL.TOKENS.OPTIONS": _in_turn(given),
            }
        vit = options["vit"]
        given = {
            key: vit[key] for key in ("patch_size", "img_size", "embed_dim", "depth", "num_heads")
        }
        return {
            "MODEL.BACKBONE.NAME": "TokenBackbone",
            "MODEL.TOKENS.NAME": _VITS[options["backbone"]],
            "MODEL.TOKENS.OPTIONS": _in_turn(given),
            "MODEL.TOKENS.TAPS": vit["hooks"],
            "MODEL.TOKENS.CHANNELS": vit["reassemble"],
            "MODEL.TOKENS.READOUT": options["readout"],
        }


def _in_turn(options: dict[str, Any]) -> list[Any]:
    return [part for pair in options.items() for part in pair]


@BACKBONE_REGISTRY.register()
class RecordedResNet(Backbone):
    """torchvision's ResNet-101 with other widths, as timm builds it."""

    def __init__(self, cfg: Any, input_shape: ShapeSpec) -> None:
        super().__init__()
        given = cfg.MODEL.TOKENS.OPTIONS
        self.model: Any = timm.create_model(
            "resnet101",
            features_only=True,
            out_indices=(1, 2, 3, 4),
            **dict(zip(given[::2], given[1::2], strict=True)),
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {f"res{i + 2}": found for i, found in enumerate(self.model(images))}

    def output_shape(self) -> dict[str, ShapeSpec]:
        channels, strides = self.model.feature_info.channels(), self.model.feature_info.reduction()
        return {
            f"res{i + 2}": ShapeSpec(channels=c, stride=s)
            for i, (c, s) in enumerate(zip(channels, strides, strict=True))
        }
