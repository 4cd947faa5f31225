"""Which text encoders there are, and the one that made a file of class vectors.

An encoder is named by a text: ``minilm``; ``openclip:MODEL:WEIGHTS`` (open_clip's name of the
architecture, a file of weights or a tag); ``openclip:FOLDER``; ``words:FILE`` (GloVe, fastText,
word2vec). The ``source`` of class vectors
holds it, and the prompts behind it, so that new names go through the same.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from pading.errors import InputError
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.prompts import DEFAULT, PromptSet
from pading.vocabulary.text_encoders import TextEncoder, encode_classes, minilm_encoder
from pading.vocabulary.word_vectors import word_encoder

# How class vectors named open_clip's encoders before they named them as the tools take them.
_EARLIER = re.compile(r"open_clip \S+ (\S+) (.+)")


def text_encoder(name: str, download: bool = False) -> tuple[TextEncoder, str]:
    """A text encoder and its description.

    Args:
        name: as above.
        download: whether open_clip may fetch what is not on this machine.

    Raises:
        InputError: an unknown name, an encoder that is not installed, or weights that it refuses.
    """
    if name == "minilm":
        return minilm_encoder()
    kind, _, rest = name.partition(":")
    if kind == "words" and rest:
        return word_encoder(rest)
    if kind != "openclip" or not rest:
        raise InputError(
            f'there is no text source {name!r}; use "minilm", "openclip:MODEL:WEIGHTS", '
            '"openclip:FOLDER", "words:FILE" or a vector file'
        )
    from pading.vocabulary.clip_text import openclip_encoder  # loads open_clip when it runs

    if Path(rest).is_dir():
        return openclip_encoder("", rest, download)
    model, _, weights = rest.partition(":")
    return openclip_encoder(model, weights, download)


def usual_prompts(name: str) -> str:
    """The set of prompts that an encoder takes where none is named: words have no sentence."""
    return "name" if name.startswith("words:") else DEFAULT


def parse_source(source: str) -> tuple[str, PromptSet]:
    """The encoder's name and the prompts that class vectors were made with.

    Args:
        source: of :class:`ClassVectors`, as :func:`encode_classes` writes it.

    Raises:
        InputError: it names no encoder that there is.
    """
    told, _, prompts = source.partition("; ")
    earlier = _EARLIER.fullmatch(told)
    if told.startswith("all-MiniLM-L6-v2"):
        name = "minilm"
    elif earlier:
        name = f"openclip:{earlier[1]}:{earlier[2]}"
    elif told.startswith(("openclip:", "words:")):
        name = told
    else:
        raise InputError(
            f"class vectors made by {told!r}: no text encoder of this name; give a file of vectors "
            "for the new names"
        )
    return name, PromptSet.parse(prompts)


def vectors_like(source: str, names: Sequence[str], download: bool = False) -> ClassVectors:
    """Vectors of new names by the encoder and the prompts of others.

    Args:
        source: of the others.
        names: different class names.
        download: as in :func:`text_encoder`.

    Raises:
        InputError: what :func:`parse_source`, :func:`text_encoder` and :func:`encode_classes`
            refuse.
    """
    name, prompts = parse_source(source)
    encoder, described = text_encoder(name, download)
    return encode_classes(names, encoder, described, prompts)
