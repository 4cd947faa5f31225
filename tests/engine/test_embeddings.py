"""Stored embeddings: one pass over the training images, then batches that keep images together."""

from itertools import islice
from pathlib import Path

import pytest
import torch

import pading
from pading.data.shapes import ShapesSettings, generate
from pading.data.splits import load_split
from pading.engine.embeddings import StoredEmbeddings, uses_stored_embeddings
from pading.errors import InputError

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "shapes" / "PADing.yaml"
IMAGES, QUERIES, WIDTH = 5, 3, 2


class Recorder:
    """Stands for the model: an image's embeddings are its number, its labels count its queries."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.seen: list[int] = []

    def labelled_embeddings(self, batch: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
        numbers = [int(Path(image["file_name"]).stem) for image in batch]
        self.seen += numbers
        embeddings = torch.tensor(numbers).float()[:, None, None].expand(-1, QUERIES, WIDTH)
        labels = torch.arange(QUERIES).repeat(len(batch))
        return embeddings.flatten(0, 1), labels


@pytest.fixture
def cfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = ShapesSettings(seed=0, train=IMAGES, val=1, size=64)
    generate(tmp_path / "shapes", load_split("shapes"), settings, workers=1)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    cfg = pading.load_config(str(CONFIG), ["SOLVER.IMS_PER_BATCH", "2"])
    pading.register_datasets(cfg)
    return cfg


def test_every_image_is_seen_once_and_drawn(cfg, seed: int) -> None:
    model = Recorder()
    stored = StoredEmbeddings(cfg, model, seed)
    assert not model.seen, "collecting must wait for the weights, that is, for the first batch"
    drawn = set()
    for batch in islice(stored.starting_at(0), 200):
        assert batch["embeddings"].shape == (2 * QUERIES, WIDTH)
        assert batch["labels"].tolist() == 2 * list(range(QUERIES))
        for image in batch["embeddings"].unflatten(0, (2, QUERIES)):
            [number] = image.unique().tolist()
            drawn.add(number)
    assert len(model.seen) == len(set(model.seen)) == IMAGES
    assert drawn == set(map(float, model.seen))


def test_source_must_be_known(cfg) -> None:
    assert uses_stored_embeddings(cfg)
    cfg.MODEL.ZERO_SHOT.SOURCE = "images"
    assert not uses_stored_embeddings(cfg)
    cfg.MODEL.ZERO_SHOT.SOURCE = "memory"
    with pytest.raises(InputError, match="SOURCE is 'memory'"):
        uses_stored_embeddings(cfg)
