"""A checkpoint that training wrote is all that prediction needs; training starts from Python."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pading
from pading.checkpoint.checkpointer import Checkpointer
from pading.commands import predict
from pading.config import load_config
from pading.errors import InputError
from tests.narrow import NARROW_OVERRIDES, SHAPES, narrow_model
from tests.runs import TINY


@pytest.fixture
def checkpoint(tmp_path: Path, seed: int) -> Path:
    checkpointer = Checkpointer(narrow_model("PADing"), str(tmp_path))
    checkpointer.config = load_config(str(SHAPES), NARROW_OVERRIDES).dump()
    checkpointer.save("model")
    return tmp_path / "model.pth"


@pytest.fixture
def photo(tmp_path: Path, rng) -> Path:
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_predict_takes_a_checkpoint_and_images(
    checkpoint: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    predict.main([str(checkpoint), str(photo), "--output", "out", "MODEL.DEVICE", "cpu"])
    [image] = json.loads((tmp_path / "out" / "panoptic.json").read_text())["images"]
    assert image["file_name"] == "photo.png"
    with pytest.raises(SystemExit):
        predict.main(["--input", str(photo), "--output", "out"])


def test_a_result_has_all_that_a_notebook_asks_for(
    checkpoint: Path, photo: Path, tmp_path: Path
) -> None:
    model = pading.load(checkpoint, overrides=["MODEL.DEVICE", "cpu"])
    result, again = model.predict([photo, Image.open(photo)])
    np.testing.assert_array_equal(result.panoptic.ids, again.panoptic.ids)
    assert result.scores.panoptic.shape == (len(result.panoptic.segments), len(result.classes))
    assert result.show().size >= (64, 48)
    result.save(tmp_path / "out")
    assert (tmp_path / "out" / "panoptic" / "photo.png").is_file()
    coco = result.to_coco()
    assert coco["panoptic"] == result.panoptic.segments
    assert len(coco["categories"]) == len(result.classes)
    with pytest.raises(InputError, match="there are no semantic results; there are panoptic"):
        result.show("semantic")


def test_weights_that_carry_no_configuration_ask_for_one(checkpoint: Path, tmp_path: Path) -> None:
    import torch

    content = torch.load(checkpoint, weights_only=True)
    torch.save({"model": content["model"]}, tmp_path / "published.pth")
    with pytest.raises(InputError, match="it carries no split .*; name the configuration"):
        pading.load(tmp_path / "published.pth")
    model = pading.load(tmp_path / "published.pth", "shapes/PADing", NARROW_OVERRIDES)
    assert model.predict(np.zeros((64, 64, 3), np.uint8)).panoptic.ids.shape == (64, 64)


def test_training_from_python(tiny_scenes: Path, tmp_path: Path) -> None:
    overrides = [part for pair in TINY.items() for part in pair]
    folder = pading.train(
        "shapes/pretrain", output=str(tmp_path / "run"), overrides=[*overrides, "DATASETS.TEST", ()]
    )
    assert folder == tmp_path / "run"
    assert (folder / "model_final.pth").is_file()
