"""pading add-classes: what makes the vectors of new names."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pading.commands import add_classes
from pading.errors import InputError
from pading.models.lseg.lseg import LSeg
from pading.vocabulary.text_sources import vectors_like
from tests.models.lseg.conftest import WIDTH, make_lseg

__all__ = ["make_lseg"]


def test_by_default_the_encoder_that_the_checkpoint_records(
    make_lseg: Callable[..., LSeg],
    tmp_path: Path,
    rng: torch.Generator,
) -> None:
    model = make_lseg()
    known = ("wok", "ladle", *model.split.names)
    numbers = torch.randn(len(known), WIDTH, generator=rng).numpy()
    words = tmp_path / "glove.txt"
    rows = zip(known, numbers, strict=True)
    words.write_text("".join(f"{w} {' '.join(map(str, v.tolist()))}\n" for w, v in rows))
    model.vectors_source = f"words:{words}; prompts: {{}}"
    own = vectors_like(model.vectors_source, model.split.names).vectors
    with torch.no_grad():
        model.class_vectors.copy_(torch.from_numpy(own))
    args = add_classes.parse(["--weights", "unused.pth", "--output", "unused.pth"])
    grown = add_classes.with_new(model, ["wok", "ladle"], args)
    assert grown.split.names == (*model.split.names, "wok", "ladle")
    wanted = numbers[:2] / np.linalg.norm(numbers[:2], axis=1, keepdims=True)
    np.testing.assert_allclose(grown.class_vectors[-2:].numpy(), wanted, rtol=1e-5)
    model.vectors_source = ""
    with pytest.raises(InputError, match="does not say which text encoder"):
        add_classes.with_new(model, ["wok"], args)
