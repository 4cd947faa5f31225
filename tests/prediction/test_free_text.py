"""Labels that a model was not trained with: a system whose classes are rows of text vectors."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import pading
from pading.checkpoint.checkpointer import Checkpointer
from pading.commands import predict as command
from pading.engine.building import configured_model
from pading.errors import InputError
from pading.files import read_json
from pading.models import label_vectors
from pading.prediction import Predictor
from pading.vocabulary.class_vectors import ClassVectors
from pading.vocabulary.splits import load_split
from pading.vocabulary.text_encoders import encode_classes
from tests.models.recordings import ROOT
from tests.narrow import narrow_model

SPLIT = load_split("shapes")
WIDTH = 24
ASKED = ("blue triangle", "a purple something", "other")


class PretendEncoder:
    """A random direction for each text, always the same one; knows what it was asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        return np.stack(
            [np.random.default_rng(zlib.crc32(t.encode())).normal(size=WIDTH) for t in texts]
        )


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> PretendEncoder:
    """Stands where MiniLM would be loaded."""
    made = PretendEncoder()
    monkeypatch.setattr(label_vectors, "text_encoder", lambda name: (made, "all-MiniLM-L6-v2"))
    return made


@pytest.fixture
def checkpoint(tmp_path: Path, seed: int) -> Path:
    """Of a system that compares pixels with texts; its vectors' file is gone."""
    prompts = ("a picture of {}",)
    vectors = encode_classes(SPLIT.names, PretendEncoder(), "all-MiniLM-L6-v2", prompts)
    vectors.save(tmp_path / "vectors.npz")
    overrides = ("MODEL.CLASS_VECTORS", tmp_path / "vectors.npz", "MODEL.DEVICE", "cpu")
    narrow = ("MODEL.CONVNET.WIDTHS", [6, 8, 8, 10], "MODEL.CONVNET.DEPTH", 1)
    cfg = pading.load_config(
        str(ROOT / "configs" / "shapes" / "semantic" / "LSeg.yaml"),
        [*map(str, overrides), *map(str, narrow)],
    )
    pading.register_datasets(cfg)
    checkpointer = Checkpointer(configured_model(cfg), str(tmp_path))
    checkpointer.config = cfg.dump()
    checkpointer.save("model")
    (tmp_path / "vectors.npz").unlink()
    return tmp_path / "model.pth"


@pytest.fixture
def predictor(checkpoint: Path) -> Predictor:
    return pading.load(checkpoint, overrides=["MODEL.DEVICE", "cpu"])


def test_any_labels_without_training(
    predictor: Predictor, encoder: PretendEncoder, image: np.ndarray
) -> None:
    found = predictor.predict(image, classes=ASKED)
    assert [info.name for info in found.classes] == list(ASKED)
    assert [info.id for info in found.classes] == [0, 1, 2]
    assert found.scores.semantic.shape == (3, 48, 64)
    assert predictor.predict(image).scores.semantic.shape == (SPLIT.num_classes, 48, 64)

    # The scores are cosines of the pixels' embeddings with the texts, and the label is the best.
    wanted = encode_classes(ASKED, PretendEncoder(), "", ("a picture of {}",)).vectors
    cosines = np.einsum("dhw,kd->khw", predictor.encode_pixels(image), wanted)
    near = np.sort(cosines, axis=0)
    clear = near[-1] - near[-2] > 1e-4
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(found.semantic[clear], cosines.argmax(0)[clear])


def test_texts_are_encoded_once_and_known_ones_never(
    predictor: Predictor, encoder: PretendEncoder, image: np.ndarray
) -> None:
    predictor.predict(image, classes=["blue triangle", "green circle"])
    assert encoder.texts == []
    predictor.predict([image, image], classes=ASKED)
    predictor.predict(image, classes=ASKED)
    predictor.predict(image, classes=[*ASKED, "a second thing"])
    assert encoder.texts.count("a picture of other") == 1
    assert encoder.texts.count("a picture of blue triangle") <= 2  # as a probe of the encoder


def test_vectors_out_of_a_file(
    predictor: Predictor, encoder: PretendEncoder, image: np.ndarray, tmp_path: Path
) -> None:
    prompts = ("a picture of {}",)
    made = encode_classes(ASKED, PretendEncoder(), "a test", prompts)
    made.save(tmp_path / "asked.npz")
    by_file = predictor.predict(image, classes=ASKED, vectors=str(tmp_path / "asked.npz"))
    given = predictor.with_classes(made).predict(image)
    by_encoder = predictor.predict(image, classes=ASKED)
    for other in (given, by_encoder):
        np.testing.assert_allclose(by_file.scores.semantic, other.scores.semantic, atol=2e-3)
    with pytest.raises(InputError, match=r"asked.npz.*no vector for 1 of 1 classes: 'sky'"):
        predictor.predict(image, classes=["sky"], vectors=str(tmp_path / "asked.npz"))


def test_what_was_asked_for_can_be_kept(
    predictor: Predictor, encoder: PretendEncoder, image: np.ndarray, tmp_path: Path
) -> None:
    chosen = predictor.with_classes(("wholly", "new"))
    chosen.save(str(tmp_path / "asked.pth"))
    again = pading.load(tmp_path / "asked.pth", overrides=["MODEL.DEVICE", "cpu"])
    np.testing.assert_array_equal(chosen.predict(image).semantic, again.predict(image).semantic)
    assert again.predict(image, classes=["newer"]).classes[0].name == "newer"


def test_the_command(
    checkpoint: Path, encoder: PretendEncoder, image: np.ndarray, tmp_path: Path, capsys
) -> None:
    from PIL import Image

    Image.fromarray(image).save(tmp_path / "photo.png")
    words = [str(checkpoint), str(tmp_path / "photo.png"), "--output", str(tmp_path / "out")]
    command.main([*words, "--classes", *ASKED, "--no-overlays", "MODEL.DEVICE", "cpu"])
    listed = read_json(tmp_path / "out" / "semantic.json")["categories"]
    assert [(c["id"], c["name"]) for c in listed] == list(enumerate(ASKED))
    assert np.asarray(Image.open(tmp_path / "out" / "semantic" / "photo.png")).max() <= 2
    for wrong, message in (
        (["--classes", "a", "MODEL.DEVICE", "cpu"], "takes MODEL.DEVICE for a label"),
        (["--vectors", "minilm"], "of which there are none"),
    ):
        with pytest.raises(SystemExit):
            command.main([*words, *wrong])
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "no labels; give at least one"),
        ("cat", r"labels are a list, not one text; give \['cat'\]"),
        (["cat", " "], "a label is empty"),
        (["cat", "dog", "cat"], "the label 'cat' is there twice"),
    ],
)
def test_labels_that_are_no_list_of_different_texts(
    predictor: Predictor, encoder: PretendEncoder, image, labels: Sequence[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict(image, classes=labels)


def test_vectors_of_another_encoder(
    predictor: Predictor, image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(texts: Sequence[str]) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(len(texts), WIDTH))

    monkeypatch.setattr(label_vectors, "text_encoder", lambda name: (wrong, "wrong"))
    with pytest.raises(InputError, match="wrong is not what made the class vectors"):
        predictor.predict(image, classes=["new"], vectors="minilm")
    narrow = ClassVectors(("new",), np.ones((1, 7), np.float32), "a test")
    with pytest.raises(InputError, match="have 7 numbers, those of the model 24"):
        predictor.with_classes(narrow)
    with pytest.raises(InputError, match="there is no text source 'mini'"):
        monkeypatch.undo()
        predictor.predict(image, classes=["new"], vectors="mini")


def test_an_encoder_that_is_not_recorded(predictor: Predictor, image: np.ndarray) -> None:
    predictor.model.vectors_source = ""
    with pytest.raises(InputError, match="does not say which text encoder made its class vectors"):
        predictor.predict(image, classes=["new"])


def test_a_model_that_learned_from_no_vectors(image: np.ndarray) -> None:
    from tests.narrow import NARROW_OVERRIDES, SHAPES

    cfg = pading.load_config(str(SHAPES.with_name("pretrain.yaml")), NARROW_OVERRIDES)
    predictor = Predictor(cfg, narrow_model("pretrain"))
    with pytest.raises(InputError, match="has no class vectors"):
        predictor.predict(image, classes=["new"])
    with pytest.raises(InputError, match="gives pixels no embeddings"):
        predictor.encode_pixels(image)


def test_encoding_pixels_at_another_size(predictor: Predictor, image: np.ndarray) -> None:
    whole = predictor.encode_pixels(image)
    assert whole.shape == (WIDTH, 48, 64)
    assert whole.dtype == np.float32
    small = predictor.encode_pixels(torch.tensor(image), size=(24, 32))
    for found in (whole, small):
        np.testing.assert_allclose(np.linalg.norm(found, axis=0), 1, atol=1e-5)
    assert (np.einsum("dhw,dhw->hw", whole[:, ::2, ::2], small) > 0.8).mean() > 0.9
    np.testing.assert_array_equal(
        predictor.encode_pixels(image[..., ::-1].copy(), channels="BGR"), whole
    )
