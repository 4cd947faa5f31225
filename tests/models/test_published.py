"""The table of published names."""

import pytest

from pading.errors import InputError
from pading.models.pading.stage_two import PADing

TABLE = PADing.published_names
our_name, published_name = TABLE.ours, TABLE.published
our_names, published_names = TABLE.to_ours, TABLE.to_published


def test_there_and_back() -> None:
    for published, ours in TABLE.pairs:
        assert our_name(published + "0.weight") == ours + "0.weight"
        assert published_name(ours + "0.weight") == published + "0.weight"


def test_a_name_of_the_wanted_layout_stays() -> None:
    for published, ours in TABLE.pairs:
        assert our_name(ours + "x") == ours + "x"
        assert published_name(published + "x") == published + "x"
    for name in ("backbone.stem.conv1.weight", "generator.layers.0.norm1.bias", "decoderx"):
        assert our_name(name) == published_name(name) == name


def test_older_names() -> None:
    for old, new in TABLE.older:
        assert our_name(old + "x") == new + "x"
        assert our_name(new + "x") == new + "x"


def test_a_wrapped_model() -> None:
    assert our_name("module.new_fc.bias") == "classifier.bias"


def test_two_names_of_one_tensor() -> None:
    both = {"new_fc.bias": 1, "classifier.bias": 2}
    with pytest.raises(InputError, match=r"new_fc\.bias and classifier\.bias are two names"):
        our_names(both)
    with pytest.raises(InputError, match=r"\(new_fc\.bias\)"):
        published_names(both)
