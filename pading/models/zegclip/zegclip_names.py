"""Names in ZegCLIP's published checkpoints and ours."""

from pading.checkpoint.published_names import THEIRS, NameTable, Pairs

_LAYERS = "decode_head.decoder_1.layers."
_LAST = f"{_LAYERS}2."
# What is built and saved there, and never used: all but queries and keys of the last layer,
# self-attention and its norm in every layer, CLIP's text side, weights of a loss.
_UNUSED = (
    "text_encoder.",
    "decode_head.loss_decode.",
    *(f"{_LAYERS}{i}.{part}" for i in range(3) for part in ("self_attn.", "norm1.")),
    *(f"{_LAST}{part}." for part in ("linear1", "linear2", "norm2", "norm3")),
    *(f"{_LAST}multihead_attn.{part}." for part in ("v", "proj")),
)
_PAIRS: Pairs = (
    *((name, THEIRS + name) for name in _UNUSED),
    (f"{_LAST}multihead_attn.q.", "head.last.q."),
    (f"{_LAST}multihead_attn.k.", "head.last.k."),
    (_LAYERS, "head.layers."),
    ("decode_head.q_proj.", "head.q_proj."),
    ("backbone.prompt_embeddings", "prompts.first"),
    ("backbone.deep_prompt_embeddings", "prompts.deep"),
    ("backbone.prompt_proj.", "prompts.projection."),
    ("backbone.prompt_norm.", "prompts.norm."),
)

ZEGCLIP_NAMES = NameTable(_PAIRS)
