"""The names of CLIP's tensors, as four families of files have them.

    OpenAI          its archives and most open_clip files: the text tower at the top, the image
                    tower under ``visual.``
    open_clip       the text tower under ``text.`` (SigLIP and others)
    Hugging Face    ``CLIPModel``, ``CLIPTextModel``, ``CLIPVisionModel``
    within others   any of OpenAI's under a prefix: ``module.``, ``text_encoder.``,
                    ``clip_pretrained.``

Ours are OpenAI's. Values are the files' own: their type is kept.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from pading.errors import InputError

# Hugging Face's -> OpenAI's, within a block and within a tower.
_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_TEXT = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_IMAGE = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm.weight": "ln_pre.weight",  # their spelling
    "pre_layrnorm.bias": "ln_pre.bias",
    "post_layernorm.weight": "ln_post.weight",
    "post_layernorm.bias": "ln_post.bias",
}
_PROJECTIONS = {"text_projection.weight": "text_projection", "visual_projection.weight": "proj"}
# Parts of OpenAI's text tower, at the top of a file beside the image tower.
_TEXT_PARTS = (
    "token_embedding.",
    "positional_embedding",
    "transformer.",
    "ln_final.",
    "text_projection",
)
# Facts and masks that some files carry among the weights; they follow from the architecture.
_NO_WEIGHTS = re.compile(r"(^|\.)(attn_mask|position_ids|context_length|vocab_size)$")
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def text_tower(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The text tower's tensors under OpenAI's names, out of a file of any of the families.

    Returns:
        ``token_embedding.weight`` (V, w), ``positional_embedding`` (L, w),
        ``transformer.resblocks.I.*``, ``ln_final.*``, ``text_projection`` (w, d); empty where the
        file has no text tower.

    Raises:
        InputError: a block that lacks one of its three projections; the message names it.
    """
    huggingface = _prefix(weights, "embeddings.token_embedding.weight")
    if huggingface is not None:
        return _from_huggingface(weights, huggingface, _TEXT, "text_projection.weight")
    prefix = _prefix(weights, "token_embedding.weight")
    if prefix is None:
        return {}
    found = _under(weights, prefix)
    return {name: value for name, value in found.items() if name.startswith(_TEXT_PARTS)}


def image_tower(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image tower's tensors under OpenAI's names, without their ``visual.``.

    Returns:
        for a ViT ``conv1.weight`` (w, 3, p, p), ``class_embedding`` (w),
        ``positional_embedding`` (1 + patches, w), ``ln_pre.*``, ``transformer.resblocks.I.*``,
        ``ln_post.*``, ``proj`` (w, d); empty where the file has no image tower.

    Raises:
        InputError: as :func:`text_tower`.
    """
    huggingface = _prefix(weights, "embeddings.patch_embedding.weight")
    if huggingface is not None:
        return _from_huggingface(weights, huggingface, _IMAGE, "visual_projection.weight")
    for name in ("visual.conv1.weight", "visual.trunk.patch_embed.proj.weight"):
        prefix = _prefix(weights, name)
        if prefix is not None:
            return _under(weights, f"{prefix}visual.")
    return {}


def _prefix(weights: Mapping[str, Tensor], name: str) -> str | None:
    """What stands before a name in the file; None where no name ends in it."""
    found = [n.removesuffix(name) for n in weights if n == name or n.endswith("." + name)]
    return min(found, key=len) if found else None


def _under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix) and not _NO_WEIGHTS.search(name)
    }


def _from_huggingface(
    weights: Mapping[str, Tensor], prefix: str, table: Mapping[str, str], projection: str
) -> dict[str, Tensor]:
    tower = _under(weights, prefix)
    found = {ours: tower[theirs] for theirs, ours in table.items() if theirs in tower}
    for name, value in tower.items():
        layer = _LAYER.fullmatch(name)
        if layer is None:
            continue
        block, part, kind = f"transformer.resblocks.{layer[1]}.", layer[2], layer[3]
        if part in _BLOCK:
            found[f"{block}{_BLOCK[part]}.{kind}"] = value
        elif part == "self_attn.q_proj":
            parts = [f"encoder.layers.{layer[1]}.self_attn.{which}_proj.{kind}" for which in "qkv"]
            missing = [name for name in parts if name not in tower]
            if missing:
                raise InputError(f"{prefix}{missing[0]} is missing; give the whole file")
            found[f"{block}attn.in_proj_{kind}"] = torch.cat([tower[name] for name in parts])
    at = _prefix(weights, projection)
    if at is not None:
        found[_PROJECTIONS[projection]] = weights[at + projection].T
    return found
