"""Sizes of CLIP's image towers: open_clip's by name, and what files of weights say of theirs."""

from dataclasses import dataclass, fields, replace
from typing import Any

from pading.errors import InputError
from pading.vocabulary.clip_files import architecture, declared_image_tower

# What open_clip's tables may say of a tower beside its sizes, and this one can honour.
_USUAL: dict[str, Any] = {"pool_type": "tok", "pos_embed_type": "learnable"}
# Of training alone, or of what open_clip's own module returns.
_WITHOUT_EFFECT = ("patch_dropout", "output_tokens", "attn_pooler_heads", "attn_pooler_queries")


@dataclass(frozen=True)
class ClipImageShape:
    """Sizes of an image tower."""

    embed_dim: int = 512
    """D, of the joint space."""
    width: int = 768
    layers: int = 12
    head_width: int = 64
    mlp_ratio: float = 4.0
    patch_size: int = 16
    image_size: int = 224
    """Side of the images that the table of positions is for."""
    quick_gelu: bool = False
    """Whether the MLPs have x sigma(1.702 x), as OpenAI's weights were trained with."""
    stem: bool = False
    """Whether convolutions stand before the patches; none of the published towers has any."""


def clip_image_shape(name: str, **changes: Any) -> ClipImageShape:
    """Sizes of an open_clip architecture's image tower.

    Args:
        name: such as "ViT-B-16" or "ViT-B-16-quickgelu", which is that of OpenAI's weights.
        changes: fields of :class:`ClipImageShape` that differ.

    Raises:
        InputError: no such architecture, or one whose tower is another; no such field.
    """
    config = architecture(name)
    tower = dict(config["vision_cfg"])
    known = {field.name for field in fields(ClipImageShape)}
    for key, value in tower.items():
        if key not in {*known, *_WITHOUT_EFFECT} and value and value != _USUAL.get(key):
            raise InputError(
                f"MODEL.CLIP.NAME {name}: its image tower has {key} {value}, which is not "
                "supported; take a plain vision transformer such as ViT-B-16 or ViT-L-14"
            )
    if not isinstance(tower.get("layers", 12), int):
        raise InputError(
            f"MODEL.CLIP.NAME {name}: its image tower is a ResNet; take a vision transformer"
        )
    for key in changes:
        if key not in known:
            raise InputError(
                f"MODEL.CLIP.OPTIONS: there is no {key!r}; take {', '.join(sorted(known))}"
            )
    own = {key: tower[key] for key in known & tower.keys()}
    own |= {"embed_dim": config["embed_dim"], "quick_gelu": config.get("quick_gelu", False)}
    return replace(ClipImageShape(**own), **changes)


def check_declared(shape: ClipImageShape, path: str) -> None:
    """Refuse a file of weights that says of its tower what shapes of tensors cannot tell.

    Args:
        shape: of the tower that the weights are for.
        path: of the file; :func:`~pading.vocabulary.clip_files.declared_image_tower` reads what is
            said of it.

    Raises:
        InputError: it was trained with other activations or heads.
    """
    said, where = declared_image_tower(path)
    for key, theirs in said.items():
        ours = getattr(shape, key)
        if theirs != ours:
            raise InputError(
                f"{where} says that its image tower has {key} {theirs}, but MODEL.CLIP asks for "
                f"{ours}; take the MODEL.CLIP.NAME of its architecture, or MODEL.CLIP.OPTIONS "
                f"[{key}, {theirs}]"
            )
