"""CLIP's text encoders: open_clip's architectures and tokenizers with weights out of files.

Weights are a file that OpenAI or open_clip published (an archive, ``.pt``, ``.bin``,
``.safetensors``), or a folder: of open_clip (``open_clip_config.json``) or of Hugging Face
(``config.json`` of ``CLIPModel`` or ``CLIPTextModel``). They are read by
:mod:`pading.tensor_files`, which runs nothing of them. The network is not touched unless allowed.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pading.errors import InputError
from pading.torchscript_archive import is_torchscript_archive
from pading.vocabulary.clip_files import (
    architecture,
    downloaded,
    first_lines,
    read_clip_weights,
    read_folder,
)
from pading.vocabulary.clip_names import text_tower
from pading.vocabulary.text_encoders import TextEncoder, too_long

_BATCH = 256
# open_clip builds both towers; the image tower of a text encoder is as small as it takes.
_NO_IMAGES = {"layers": 1, "width": 64, "head_width": 64, "patch_size": 32, "image_size": 32}


def openclip_encoder(
    model_name: str, pretrained: str, download: bool = False
) -> tuple[TextEncoder, str]:
    """A CLIP text encoder.

    Args:
        model_name: open_clip's name of the architecture, such as "ViT-B-16"; a folder knows its
            own. OpenAI's archives are known to have QuickGELU, whatever the name says.
        pretrained: a file or folder of weights, or one of open_clip's tags.
        download: whether open_clip may fetch a tag's weights, or a tokenizer, from the network.

    Returns:
        the encoder and its description, which :func:`pading.vocabulary.text_sources.text_encoder`
        takes.

    Raises:
        InputError: no such file, architecture or tag; weights that do not fit it; a tokenizer
            that is not here. The encoder itself refuses texts that are longer than its context.
    """
    if not pretrained:
        raise InputError(f"open_clip's {model_name} needs weights: a file or one of its tags")
    place = Path(pretrained)
    if place.is_dir():
        weights, config = read_folder(place)
        source = f"openclip:{pretrained}"
    else:
        config = architecture(model_name)
        path = pretrained if place.is_file() else downloaded(model_name, pretrained, download)
        weights = read_clip_weights(path)
        if is_torchscript_archive(path):
            config["quick_gelu"] = True
        source = f"openclip:{model_name}:{pretrained}"
    tower = build_text_tower(weights, config, pretrained)
    tokenize = _tokenizer(config["text_cfg"], place if place.is_dir() else None, download)
    if tower.vocab_size < tokenize.vocabulary:
        raise InputError(
            f"{pretrained}: its text tower knows {tower.vocab_size} tokens, but the tokenizer has "
            f"{tokenize.vocabulary}; these are no weights of CLIP's vocabulary"
        )
    return text_encoder_of(tower, tokenize), source


def build_text_tower(weights: Mapping[str, Tensor], config: Mapping[str, Any], where: str) -> Any:
    """open_clip's text tower with weights, in float32, for evaluation.

    Args:
        weights: of a whole CLIP or of its text side, under any names that
            :mod:`pading.vocabulary.clip_names` knows.
        config: of an architecture, as :func:`architecture`.
        where: names the file in errors.

    Returns:
        a module: tokens (N, L) -> (N, d), not made unit.

    Raises:
        InputError: no text tower, one that open_clip cannot build, weights of another shape.
    """
    import open_clip

    try:
        tensors = text_tower(weights)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if not tensors:
        raise InputError(f"{where}: these are no weights of a CLIP with a text tower")
    bad = [name for name, value in tensors.items() if not value.isfinite().all()]
    if bad:
        raise InputError(f"{where}: {bad[0]} holds NaN or infinite values; fetch the file again")
    for key in ("multimodal_cfg", "hf_model_name"):
        if config.get(key) or config["text_cfg"].get(key):
            raise InputError(
                f"{where}: a text tower with {key} is not supported; take a CLIP or SigLIP whose "
                "text tower is open_clip's own transformer"
            )
    try:
        tower = open_clip.CustomTextCLIP(
            config["embed_dim"], _NO_IMAGES, config["text_cfg"], config.get("quick_gelu", False)
        ).text
        tower.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError, KeyError, AssertionError) as error:
        raise InputError(
            f"{where}: its text tower does not fit the architecture: {first_lines(error)}"
            f"{_that_fit(tensors)}"
        ) from error
    return tower.float().eval()


def text_encoder_of(tower: nn.Module, tokenize: "Tokenizer") -> TextEncoder:
    """The encoder that a text tower and a tokenizer make."""

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> np.ndarray:
        tokens = tokenize(texts)
        return torch.cat([tower(part) for part in tokens.split(_BATCH)]).numpy()

    return encode


class Tokenizer:
    """A tokenizer that refuses what it would have to cut.

    Args:
        tokens: texts -> (N, length).
        count: how many tokens a text has, start and end included.
        length: the context that the text tower takes.
        vocabulary: how many different tokens there are.
    """

    def __init__(
        self,
        tokens: Callable[[list[str]], Tensor],
        count: Callable[[str], int],
        length: int,
        vocabulary: int,
    ) -> None:
        self._tokens, self._count = tokens, count
        self.length, self.vocabulary = length, vocabulary

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(N, length) int64.

        Raises:
            InputError: a text is too long; the message holds it.
        """
        for text in texts:
            count = self._count(text)
            if count > self.length:
                raise InputError(too_long(text, count, self.length))
        return self._tokens(list(texts))


def clip_tokenizer(length: int = 77, **settings: Any) -> Tokenizer:
    """CLIP's own byte-pair tokenizer, whose vocabulary open_clip ships.

    Args:
        length: the context that the text tower takes.
        settings: open_clip's further settings of it, such as how texts are cleaned.
    """
    import open_clip

    found = open_clip.SimpleTokenizer(context_length=length, **settings)
    return Tokenizer(found, lambda text: len(found.encode(text)) + 2, length, found.vocab_size)


def _tokenizer(text: Mapping[str, Any], folder: Path | None, download: bool) -> Tokenizer:
    length, settings = text.get("context_length", 77), text.get("tokenizer_kwargs") or {}
    name = text.get("hf_tokenizer_name")
    if not name:
        return clip_tokenizer(length, **settings)
    from open_clip.tokenizer import HFTokenizer

    place = str(folder or name)
    local = folder is not None or not download
    mode = text.get("tokenizer_mode")
    try:
        found = HFTokenizer(place, length, tokenizer_mode=mode, local_files_only=local, **settings)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the tokenizer {name} needs a package: pip install {error.name}"
        ) from error
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"the tokenizer {place} is not on this machine: {first_lines(error)}; allow it to be "
            "downloaded (--download), or give a folder that holds weights and tokenizer"
        ) from error

    def count(sentence: str) -> int:
        return len(found.tokenizer(found.clean_fn(sentence)).input_ids)

    return Tokenizer(found, count, length, len(found.tokenizer))


def _that_fit(tensors: Mapping[str, Tensor]) -> str:
    """The architectures of the same size of vocabulary, width, depth and output, as a hint."""
    import open_clip

    def size(config: Mapping[str, Any]) -> tuple[int, ...]:
        text = config["text_cfg"]
        keys = ("vocab_size", "width", "layers")
        return (config["embed_dim"], *(text.get(key, 0) for key in keys))

    projection = tensors.get("text_projection", tensors.get("text_projection.weight"))
    words = tensors["token_embedding.weight"].shape
    layers = len({name.split(".")[2] for name in tensors if ".resblocks." in name})
    if projection is None or len(words) != 2:
        return ""
    wanted = (projection.shape[-1], *words, layers)
    names = [n for n in open_clip.list_models() if size(open_clip.get_model_config(n)) == wanted]
    return f"; its size is that of {', '.join(names)}" if names else ""
