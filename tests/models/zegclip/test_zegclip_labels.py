"""Any labels of a trained ZegCLIP: through CLIP's text tower, or stored vectors."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

import pading
from pading.checkpoint.checkpointer import Checkpointer
from pading.engine.building import configured_model
from pading.prediction import Predictor
from pading.vocabulary.clip_text import openclip_encoder
from pading.vocabulary.splits import load_split
from pading.vocabulary.text_encoders import encode_classes
from tests.models.zegclip.conftest import CONFIG, NARROW, WIDTH

PROMPTS = ("a photo of a {}.", "there is a {}.")
LABELS = ("blue triangle", "a hedgehog", "other")  # the first is one of its own
CLIP = {
    "embed_dim": WIDTH,
    "vision_cfg": {"layers": 3, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
    "text_cfg": {"width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture
def folder(seed: int, tmp_path: Path) -> Path:
    """A CLIP on disk, as open_clip writes it; both towers are used, each where it belongs."""
    clip, made = open_clip.CLIP(**CLIP), tmp_path / "clip"
    made.mkdir()
    save_file(clip.state_dict(), made / "model.safetensors")
    (made / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP}))
    return made


@pytest.fixture
def predictor(folder: Path, tmp_path: Path) -> Predictor:
    """As trained: from a checkpoint whose file of class vectors is gone."""
    split, vectors = load_split("shapes"), tmp_path / "vectors.npz"
    encode_classes(split.names, *openclip_encoder("", str(folder)), PROMPTS).save(vectors)
    own = {"MODEL.WEIGHTS": folder / "model.safetensors", "MODEL.CLASS_VECTORS": vectors}
    own["MODEL.ZEGCLIP.PRIOR"] = 0.5  # scores far from 0, so that differences show
    pairs = [str(part) for pair in {**NARROW, **own}.items() for part in pair]
    cfg = pading.load_config(str(CONFIG), pairs)
    pading.register_datasets(cfg)
    model = configured_model(cfg)
    checkpointer = Checkpointer(model, str(tmp_path))
    checkpointer.load(cfg.MODEL.WEIGHTS)
    checkpointer.config = cfg.dump()
    checkpointer.save("model")
    vectors.unlink()
    return pading.load(tmp_path / "model.pth", overrides=["MODEL.DEVICE", "cpu"])


def test_any_labels_without_training(
    predictor: Predictor, folder: Path, tmp_path: Path, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (72, 90, 3), dtype=np.uint8)
    found = predictor.predict(image, classes=LABELS)
    assert [info.name for info in found.classes] == list(LABELS)
    assert found.scores.semantic.shape == (3, 72, 90)
    # Classes do not know each other: one that is its own scores as it does among all.
    place = predictor.model.split.names.index(LABELS[0])
    own = predictor.predict(image).scores.semantic
    assert own.shape == (42, 72, 90)
    np.testing.assert_allclose(found.scores.semantic[0], own[place], atol=1e-3)

    made = encode_classes(LABELS, *openclip_encoder("", str(folder)), PROMPTS)
    made.save(tmp_path / "asked.npz")
    stored = predictor.predict(image, classes=LABELS, vectors=str(tmp_path / "asked.npz"))
    given = predictor.with_classes(made)
    for other in (stored, given.predict(image)):
        np.testing.assert_allclose(other.scores.semantic, found.scores.semantic, atol=1e-3)
    # The text is what is asked for: vectors of other texts give other scores.
    with torch.no_grad():
        given.model.class_vectors.copy_(given.model.class_vectors.flip(0))
    turned = given.predict(image).scores.semantic
    np.testing.assert_allclose(turned, found.scores.semantic[::-1], atol=1e-3)
    assert np.abs(turned - found.scores.semantic).max() > 0.005
