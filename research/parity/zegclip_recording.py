"""What a recording of the published ZegCLIP holds, and the model that it describes."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pading.checkpoint.checkpointer import Checkpointer
from pading.config import load_config
from pading.errors import InputError
from pading.files import write_json
from pading.models.registry import build_model
from pading.models.zegclip.zegclip import ZegCLIP
from pading.vocabulary.splits import ClassInfo, ClassSplit
from research.parity.recording import Recording

_TOWER = "VPTCLIPVisionTransformer"
_PROMPTS = ("backbone.prompt", "backbone.deep_prompt")
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
_SEEN_BIAS = 0.1  # a constant in the published code


class ZegCLIPRecording(Recording):
    """One ``.npz`` file of weights, images, labels, and what the published ZegCLIP made of them."""

    @cached_property
    def options(self) -> dict[str, Any]:
        """The published segmenter's arguments.

        Raises:
            InputError: another image tower.
        """
        options = self.parsed("opts")
        kind = options.get("backbone", {}).get("type")
        if kind != _TOWER:
            raise InputError(f"{self.path}: {kind!r} is no image tower of ZegCLIP's")
        return options

    @cached_property
    def zegclip_split(self) -> ClassSplit:
        """The recorded classes."""
        names, unseen = self.options["class_names"], set(self.options["novel_class"])
        return ClassSplit(
            self.name,
            tuple(ClassInfo(i + 1, n, True, i in unseen) for i, n in enumerate(names)),
        )

    def built(
        self,
        setting: str = "inductive",
        depth: int | None = None,
        prompts: int | None = None,
        all_seen: bool = False,
    ) -> ZegCLIP:
        """Our ZegCLIP with the recorded weights, loaded as a published checkpoint is.

        Args:
            setting: of MODEL.ZEGCLIP.
            depth: layers beyond the first that have prompts; None: the recorded.
            prompts: how many in a layer; None: the recorded.
            all_seen: no class is unseen.

        Raises:
            InputError: the weights do not fit the recorded architecture.
        """
        tower, head = self.options["backbone"], self.options["decode_head"]
        depth = tower["total_d_layer"] if depth is None else depth
        prompts = tower["num_tokens"] if prompts is None else prompts
        sizes = {
            "embed_dim": tower["output_dim"],
            "width": tower["width"],
            "layers": tower["layers"],
            "head_width": tower["width"] // tower["heads"],
            "patch_size": tower["patch_size"],
            "image_size": tower["input_resolution"],
        }
        window = self.options["test_cfg"]
        settings: dict[str, Any] = {
            "MODEL.META_ARCHITECTURE": "ZegCLIP",
            "MODEL.BACKBONE.NAME": "build_clip_image_tower",
            "MODEL.DEVICE": "cpu",
            "MODEL.PIXEL_MEAN": MEAN,
            "MODEL.PIXEL_STD": STD,
            "MODEL.CLIP.OPTIONS": [part for pair in sizes.items() for part in pair],
            "MODEL.ZEGCLIP.SETTING": setting,
            "MODEL.ZEGCLIP.PROMPTS": prompts,
            "MODEL.ZEGCLIP.PROMPT_DEPTH": depth,
            "MODEL.ZEGCLIP.PROMPT_DROPOUT": 0.0,
            "MODEL.ZEGCLIP.DECODER_LAYERS": head["num_layers"],
            "MODEL.ZEGCLIP.DECODER_HEADS": head["num_heads"],
            "MODEL.ZEGCLIP.DECODER_FFN_DIM": self._inner,
            "MODEL.ZEGCLIP.DROPOUT": 0.0,
            "MODEL.ZEGCLIP.FOCAL_WEIGHT": head["loss_decode"]["mask_weight"],
            "MODEL.ZEGCLIP.DICE_WEIGHT": head["loss_decode"]["dice_weight"],
            "MODEL.INFERENCE.PANOPTIC_ON": False,
            "MODEL.INFERENCE.SEMANTIC_ON": True,
            "MODEL.INFERENCE.SEEN_BIAS": _SEEN_BIAS if setting == "inductive" else 0.0,
            "MODEL.INFERENCE.WINDOW": window["crop_size"],
            "MODEL.INFERENCE.STRIDE": window["stride"],
        }
        base = self._folder / f"{self.name}.yaml"
        write_json(base, {})  # JSON is YAML
        cfg = load_config(str(base), [str(part) for pair in settings.items() for part in pair])
        split = self.zegclip_split
        if all_seen:
            classes = (ClassInfo(c.id, c.name, True, False) for c in split.classes)
            split = ClassSplit(split.name, tuple(classes))
        model = build_model(cfg, split, self.tensor("text_embedding"))
        assert isinstance(model, ZegCLIP)
        checkpoint = self._folder / f"{self.name}.pth"
        torch.save({"state_dict": self._with_prompts(depth, prompts), "meta": {}}, checkpoint)
        Checkpointer(model).load(str(checkpoint))
        return model.eval()

    @property
    def _inner(self) -> int:
        return len(self.numbers("weights/decode_head.decoder_1.layers.0.linear1.bias"))

    def _with_prompts(self, depth: int, prompts: int) -> Mapping[str, Tensor]:
        """The recorded state dict as a checkpoint of so many prompts would hold it."""
        state = self.weights()
        deep = "backbone.deep_prompt_embeddings"
        if not prompts:
            return {n: v for n, v in state.items() if not n.startswith(_PROMPTS)}
        if not depth:
            left_out = (deep, "backbone.prompt_norm.")
            return {n: v for n, v in state.items() if not n.startswith(left_out)}
        return {**state, deep: state[deep][:depth]}

    def images(self, name: str) -> Tensor:
        """(B, 3, H, W) in [0, 255]."""
        pixels = self.tensor(name)
        return (pixels if pixels.dim() == 4 else pixels[None]).permute(0, 3, 1, 2).float()
