"""CLIP weights and architectures: open_clip tables and tags, files, and two kinds of folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pading.errors import InputError
from pading.files import field, read_json
from pading.tensor_files import read_tensor_file
from pading.torchscript_archive import is_torchscript_archive

_WEIGHTS = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
)
_INDEX = "model.safetensors.index.json"
_OPEN_CLIP_CONFIG = "open_clip_config.json"


def architecture(model_name: str) -> dict[str, Any]:
    """An architecture of open_clip's tables: ``embed_dim``, ``text_cfg``, ``quick_gelu``, ...

    Raises:
        InputError: there is no such name.
    """
    import open_clip

    if model_name not in open_clip.list_models():
        raise InputError(
            f"open_clip has no architecture {model_name!r}; give a name of its tables, such as "
            "ViT-B-16, ViT-L-14 or ViT-B-16-SigLIP"
        )
    return open_clip.get_model_config(model_name)


def read_clip_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file of weights, also where a training run saved more beside them.

    Raises:
        InputError: what :func:`read_tensor_file` refuses, or a file without named tensors.
    """
    content = read_tensor_file(path)
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    found = content if isinstance(content, dict) else {}
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{path}: it holds no tensors by name; give a file of CLIP's weights")
    return tensors


def downloaded(model_name: str, tag: str, download: bool) -> str:
    """The file of one of open_clip's tags.

    Raises:
        InputError: no such tag, or it would have to be fetched and that is not allowed or fails.
    """
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model_name)
    if tag not in tags:
        raise InputError(
            f"{tag}: neither a file or folder of weights nor a tag that open_clip has for "
            f"{model_name} ({', '.join(tags) or 'none'})"
        )
    if not download:
        raise InputError(
            f"the weights {tag!r} of {model_name} would have to be fetched from the network; allow "
            "it (--download), or give a file or folder of weights"
        )
    try:
        return open_clip.download_pretrained(open_clip.get_pretrained_cfg(model_name, tag))
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"the weights {tag!r} of {model_name} cannot be fetched: {first_lines(error)}"
        ) from error


def read_folder(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and architecture of a folder of open_clip or of Hugging Face.

    Raises:
        InputError: a file that is missing, malformed or of another kind of model.
    """
    if (folder / _INDEX).is_file():
        index = str(folder / _INDEX)
        names = sorted(set(field(read_json(index), "weight_map", dict, index).values()))
    else:
        names = [name for name in _WEIGHTS if (folder / name).is_file()][:1]
    if not names:
        raise InputError(f"{folder}: no weights in this folder; expected {', '.join(_WEIGHTS)}")
    weights: dict[str, Tensor] = {}
    for name in names:
        weights |= read_clip_weights(folder / name)
    own = folder / _OPEN_CLIP_CONFIG
    if own.is_file():
        config = field(read_json(own), "model_cfg", dict, str(own))
        for key, kind in (("embed_dim", int), ("text_cfg", dict)):
            field(config, key, kind, str(own))
        return weights, config
    return weights, _huggingface_architecture(folder / "config.json", weights)


def _huggingface_architecture(path: Path, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """open_clip's terms for the text side of a Hugging Face configuration."""
    content, where = read_json(path), str(path)
    kind = field(content, "model_type", str, where)
    if kind not in ("clip", "clip_text_model"):
        raise InputError(
            f"{path}: a model of type {kind!r}; give a CLIPModel or CLIPTextModel, or SigLIP in "
            "open_clip's format"
        )
    text = field(content, "text_config", dict, where) if kind == "clip" else content
    # Hugging Face leaves out what is as in the class's defaults: those of CLIP ViT-B/32.
    width, heads = text.get("hidden_size", 512), text.get("num_attention_heads", 8)
    quick_gelu = _is_quick(text, path)
    projected = any(name.endswith("text_projection.weight") for name in weights)
    dim = (content if kind == "clip" else text).get("projection_dim", 512)
    return {
        "embed_dim": dim if projected else width,
        "quick_gelu": quick_gelu,
        "text_cfg": {
            "context_length": text.get("max_position_embeddings", 77),
            "vocab_size": text.get("vocab_size", 49408),
            "width": width,
            "heads": heads,
            "layers": text.get("num_hidden_layers", 12),
            "mlp_ratio": text.get("intermediate_size", 2048) / width,
            "norm_kwargs": {"eps": text.get("layer_norm_eps", 1e-5)},
            "proj_type": "linear" if projected else "none",
        },
    }


def declared_image_tower(path: str | Path) -> tuple[dict[str, Any], str]:
    """What is known of a file's image tower that shapes of tensors cannot tell.

    TorchScript archives are OpenAI's, whose towers have QuickGELU. Beside files of Hugging Face and
    of open_clip, under the names that these give them, lies a configuration.

    Returns:
        ``quick_gelu`` and ``head_width`` as far as they are known, and the file that says it.

    Raises:
        InputError: a malformed configuration, or an activation that CLIP has not.
    """
    path = Path(path)
    if is_torchscript_archive(path):
        return {"quick_gelu": True}, f"{path} (OpenAI's archive)"
    for name in (_OPEN_CLIP_CONFIG, "config.json"):
        file = path.with_name(name)
        if path.name in _WEIGHTS and file.is_file():
            content = read_json(file)
            if name == _OPEN_CLIP_CONFIG:
                config = field(content, "model_cfg", dict, str(file))
                tower = field(config, "vision_cfg", dict, str(file))
                said = {"head_width": tower.get("head_width", 64)}
                return said | {"quick_gelu": config.get("quick_gelu", False)}, str(file)
            if content.get("model_type") in ("clip", "clip_vision_model"):
                tower = content.get("vision_config", content)
                # Left out is what is as in the class's defaults: those of CLIP ViT-B/32.
                heads = tower.get("num_attention_heads", 12)
                said = {"head_width": tower.get("hidden_size", 768) // heads}
                return said | {"quick_gelu": _is_quick(tower, file)}, str(file)
    return {}, str(path)


def _is_quick(tower: Mapping[str, Any], path: Path) -> bool:
    """Whether a tower of a Hugging Face configuration has QuickGELU, the default there."""
    activation = tower.get("hidden_act", "quick_gelu")
    if activation not in ("quick_gelu", "gelu"):
        raise InputError(f"{path}: the activation {activation!r} is not supported")
    return activation == "quick_gelu"


def first_lines(error: BaseException) -> str:
    """What another library says, in short."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return " ".join(lines[:3])
