"""The dial gives what predicting with that SEEN_BIAS gives, and runs no network."""

from pathlib import Path

import numpy as np
import pytest

import pading
from pading.apps.looks import Look
from pading.prediction.predictor import Predictor
from tests.apps.checkpoints import save_models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_models(tmp_path_factory.mktemp("models"))


def loaded(path: Path, bias: float = 0.0) -> Predictor:
    settings = ["MODEL.INFERENCE.OBJECT_SCORE_THRESHOLD", "0.01"]
    return pading.load(
        path, overrides=["MODEL.DEVICE", "cpu", "MODEL.INFERENCE.SEEN_BIAS", str(bias), *settings]
    )


@pytest.mark.parametrize("own", [0.0, 0.01])
@pytest.mark.parametrize("which", [0, 1])
def test_a_turn_is_predicting_again(
    which: int,
    own: float,
    models: tuple[Path, Path],
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    predictor = loaded(models[which], own)
    look = Look(predictor, image, "image")
    monkeypatch.setattr(predictor.model, "network", None)  # it must not be needed
    changed = False
    for bias in (-1.0, -0.01, 0.0, 0.01, 0.02, 1.0):
        found, wanted = look.at(bias), loaded(models[which], own + bias).predict(image)
        assert (found.panoptic is None) == (wanted.panoptic is None) == (which == 1)
        if wanted.panoptic is not None and found.panoptic is not None:
            assert (found.panoptic.ids == wanted.panoptic.ids).all()
            assert found.panoptic.segments == wanted.panoptic.segments
            assert found.instance == wanted.instance
        assert (found.semantic == wanted.semantic).mean() > 0.999  # ties at single pixels
        changed |= bool((found.semantic != look.at(0).semantic).any())
    assert changed
    assert predictor.model.inference.seen_bias == own
