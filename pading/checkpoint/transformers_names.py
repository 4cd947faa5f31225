"""Mask2Former's weights in the package transformers: one table of names, read in both directions.

The names stand for the same tensors, but that attention's three projections are one tensor here and
three there.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pading.errors import InputError

_ENCODER, _DECODER = "model.pixel_level_module.encoder.", "model.pixel_level_module.decoder."
_LAYERS = "model.transformer_module.decoder.layers.#."
_PIXELS, _QUERIES = "sem_seg_head.pixel_decoder.", "sem_seg_head.predictor."
_SWIN, _OUR_SWIN = f"{_ENCODER}encoder.layers.#.blocks.#.", "backbone.layers.#.blocks.#."
_CONV = ("convolution.weight", "normalization.")
# Theirs and ours, "#" is a number; what ends in a dot is a beginning.
_TABLE: tuple[tuple[str, str], ...] = (
    ("class_predictor.", f"{_QUERIES}class_embed."),
    ("model.transformer_module.level_embed.", f"{_QUERIES}level_embed."),
    ("model.transformer_module.queries_embedder.", f"{_QUERIES}query_embed."),
    ("model.transformer_module.queries_features.", f"{_QUERIES}query_feat."),
    ("model.transformer_module.decoder.layernorm.", f"{_QUERIES}decoder_norm."),
    (
        "model.transformer_module.decoder.mask_predictor.mask_embedder.#.0.",
        f"{_QUERIES}mask_embed.layers.#.",
    ),
    *(
        (_LAYERS + theirs, f"{_QUERIES}transformer_{ours}")
        for theirs, ours in (
            ("self_attn.out_proj.", "self_attention_layers.#.self_attn.out_proj."),
            ("self_attn_layer_norm.", "self_attention_layers.#.norm."),
            ("cross_attn_layer_norm.", "cross_attention_layers.#.norm."),
            ("cross_attn.", "cross_attention_layers.#.multihead_attn."),
            ("fc1.", "ffn_layers.#.linear1."),
            ("fc2.", "ffn_layers.#.linear2."),
            ("final_layer_norm.", "ffn_layers.#.norm."),
        )
    ),
    (f"{_DECODER}level_embed", f"{_PIXELS}transformer.level_embed"),
    (f"{_DECODER}input_projections.#.#.", f"{_PIXELS}input_proj.#.#."),
    (f"{_DECODER}mask_projection.", f"{_PIXELS}mask_features."),
    *(
        (f"{_DECODER}{name}.{place}", f"{_PIXELS}{name}.{ours}")
        for name in ("adapter_1", "layer_1")
        for place, ours in (("0.weight", "weight"), ("1.", "norm."))
    ),
    *(
        (f"{_DECODER}encoder.layers.#.{theirs}", f"{_PIXELS}transformer.encoder.layers.#.{ours}")
        for theirs, ours in (
            ("self_attn_layer_norm.", "norm1."),
            ("self_attn.", "self_attn."),
            ("fc1.", "linear1."),
            ("fc2.", "linear2."),
            ("final_layer_norm.", "norm2."),
        )
    ),
    # ResNet
    *(
        (f"{_ENCODER}embedder.embedder.{theirs}", f"backbone.stem.conv1.{ours}")
        for theirs, ours in zip(_CONV, ("weight", "norm."), strict=True)
    ),
    *(
        (
            f"{_ENCODER}encoder.stages.{stage}.layers.#.{their_part}.{theirs}",
            f"backbone.res{stage + 2}.#.{our_part}.{ours}",
        )
        for stage in range(4)
        for their_part, our_part in (
            ("shortcut", "shortcut"),
            *((f"layer.{i}", f"conv{i + 1}") for i in range(3)),
        )
        for theirs, ours in zip(_CONV, ("weight", "norm."), strict=True)
    ),
    # Swin
    (f"{_ENCODER}embeddings.patch_embeddings.projection.", "backbone.patch_embed.proj."),
    (f"{_ENCODER}embeddings.norm.", "backbone.patch_embed.norm."),
    (f"{_ENCODER}encoder.layers.#.downsample.", "backbone.layers.#.downsample."),
    *((f"{_ENCODER}hidden_states_norms.stage{i + 1}.", f"backbone.norm{i}.") for i in range(4)),
    *(
        (_SWIN + theirs, _OUR_SWIN + ours)
        for theirs, ours in (
            ("layernorm_before.", "norm1."),
            ("layernorm_after.", "norm2."),
            ("attention.output.dense.", "attn.proj."),
            (
                "attention.self.relative_position_bias_table",
                "attn.relative_position_bias_table",
            ),
            ("intermediate.dense.", "mlp.fc1."),
            ("output.dense.", "mlp.fc2."),
        )
    ),
)
# Three of theirs are one of ours, one after the other.
_JOINED: tuple[tuple[tuple[str, str, str], str], ...] = tuple(
    entry
    for kind in ("weight", "bias")
    for entry in (
        (
            (
                f"{_LAYERS}self_attn.q_proj.{kind}",
                f"{_LAYERS}self_attn.k_proj.{kind}",
                f"{_LAYERS}self_attn.v_proj.{kind}",
            ),
            f"{_QUERIES}transformer_self_attention_layers.#.self_attn.in_proj_{kind}",
        ),
        (
            (
                f"{_SWIN}attention.self.query.{kind}",
                f"{_SWIN}attention.self.key.{kind}",
                f"{_SWIN}attention.self.value.{kind}",
            ),
            f"{_OUR_SWIN}attn.qkv.{kind}",
        ),
    )
)
# Theirs that no output depends on, and ours that follow from the others.
_UNUSED = ("criterion.", f"{_ENCODER}swin.layernorm.", f"{_ENCODER}layernorm.")
_COUNTER, _INDICES = "num_batches_tracked", "relative_position_index"


def is_theirs(names: Mapping[str, Any]) -> bool:
    """Whether these are names of that package's Mask2Former."""
    return any(name.startswith("model.pixel_level_module.") for name in names)


def to_ours(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under our names; of batch norms without their counters, which ours may lack.

    Raises:
        InputError: a tensor that Mask2Former has not.
    """
    ours: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for name, value in weights.items():
        if name.startswith(_UNUSED) or name.endswith(_COUNTER):
            continue
        joined = _part_of(name)
        if joined:
            parts.setdefault(joined[0], {})[joined[1]] = value
            continue
        ours[_renamed(name, _TABLE)] = value
    for name, three in parts.items():
        if len(three) != 3:
            raise InputError(f"of {name} only {len(three)} of three projections are there")
        ours[name] = torch.cat([three[i] for i in range(3)])
    for name in [n for n in ours if n.endswith("relative_position_bias_table")]:
        from pading.backbones.swin import relative_index  # which not every model needs

        window = (round(len(ours[name]) ** 0.5) + 1) // 2
        ours[name.replace("relative_position_bias_table", _INDICES)] = relative_index(window)
    return ours


def to_theirs(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under that package's names.

    Args:
        weights: of stage 1, under our names.

    Raises:
        InputError: a tensor that its Mask2Former has no place for.
    """
    reversed_table = tuple((ours, theirs) for theirs, ours in _TABLE)
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.endswith((_INDICES, _COUNTER)) or name.startswith("published."):
            continue
        three = next((theirs for theirs, ours in _JOINED if _numbers(name, ours)), None)
        if three is None:
            found[_renamed(name, reversed_table)] = value
            continue
        numbers = next(n for _, ours in _JOINED if (n := _numbers(name, ours)))
        for theirs, part in zip(three, value.chunk(3), strict=True):
            found[_filled(theirs, numbers[0])] = part
    return found


def _part_of(name: str) -> tuple[str, int] | None:
    """Our tensor that one of theirs is a third of, and which third."""
    for three, ours in _JOINED:
        for place, theirs in enumerate(three):
            numbers = _numbers(name, theirs)
            if numbers:
                return _filled(ours, numbers[0]), place
    return None


def _renamed(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for old, new in table:
        found = _numbers(name, old)
        if found:
            numbers, rest = found
            return _filled(new, numbers) + rest
    raise InputError(f"{name}: Mask2Former of the package transformers has no such tensor")


def _numbers(name: str, template: str) -> tuple[list[str], str] | None:
    """The numbers of a name that begins like a template, and the rest of the name."""
    pattern = re.escape(template).replace(r"\#", r"(\d+)")
    found = re.match(pattern + ("" if template.endswith(".") else "$"), name)
    return (list(found.groups()), name[found.end() :]) if found else None


def _filled(template: str, numbers: list[str]) -> str:
    for number in numbers:
        template = template.replace("#", number, 1)
    return template
