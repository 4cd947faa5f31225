"""Stage 2's batches out of a store: the run's own, made once, or one that is named."""

from itertools import islice
from pathlib import Path

import pytest
import torch
import yaml

import pading
from pading.data.batches import training_entries
from pading.data.shapes.generation import ShapesSettings, generate
from pading.engine.building import configured_model
from pading.engine.trainer import Trainer
from pading.errors import InputError
from pading.models.pading.extraction import Extraction
from pading.models.pading.source import asks_for_store, check_source, open_store, training_source
from pading.vocabulary.splits import load_split
from tests.narrow import NARROW

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "shapes" / "PADing.yaml"
IMAGES, QUERIES, WIDTH = 5, 8, 32
SHARE = "NO_OBJECT_SHARE"


@pytest.fixture
def cfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = ShapesSettings(seed=0, train=IMAGES, val=1, size=64)
    generate(tmp_path / "shapes", load_split("shapes"), settings, workers=1)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    narrow = {**NARROW, "SOLVER.IMS_PER_BATCH": 2, "OUTPUT_DIR": tmp_path / "run"}
    cfg = pading.load_config(str(CONFIG), [str(part) for pair in narrow.items() for part in pair])
    pading.register_datasets(cfg)
    return cfg


def test_every_image_is_seen_once_and_drawn(cfg, seed: int, monkeypatch) -> None:
    cfg.MODEL.ZERO_SHOT.CLASS_BALANCED = False  # images are drawn whole
    model = configured_model(cfg)
    seen: list[str] = []
    labelled = model.labelled_embeddings

    def recording(batch: list[dict]):
        seen.extend(image["file_name"] for image in batch)
        return labelled(batch)

    monkeypatch.setattr(model, "labelled_embeddings", recording)
    stored = training_source(cfg, model, seed)
    assert not seen, "collecting must wait for the weights, that is, for the first batch"
    batches = list(islice(stored.starting_at(0), 60))
    assert len(seen) == len(set(seen)) == IMAGES
    drawn = set()
    for batch in batches:
        assert batch.embeddings.shape == (2 * QUERIES, WIDTH)
        assert batch.no_object_share == 1.0
        drawn |= {float(image.abs().sum()) for image in batch.embeddings.split(QUERIES)}
        assert set(model(batch))  # losses
    assert len(drawn) == IMAGES
    # A run that goes on in the middle sees what it would have seen, without another pass.
    for batch, again in zip(batches[40:], stored.starting_at(40), strict=False):
        assert torch.equal(batch.embeddings, again.embeddings)
        assert torch.equal(batch.labels, again.labels)
    assert len(seen) == IMAGES


def test_the_runs_own_store_is_made_anew_for_other_settings(cfg, seed: int) -> None:
    model = configured_model(cfg)
    open_store(cfg, model)
    made = Path(cfg.OUTPUT_DIR) / "embeddings" / "00000.safetensors"
    time = made.stat().st_mtime_ns
    open_store(cfg, model)
    assert made.stat().st_mtime_ns == time
    cfg.MODEL.STORE.AUGMENTATIONS = 2
    assert open_store(cfg, model).header.items == 2 * IMAGES
    with torch.no_grad():
        next(model.backbone.parameters()).add_(1)
    first = made.read_bytes()
    open_store(cfg, model)
    assert made.read_bytes() != first


def test_a_named_store_of_another_model_is_refused(cfg, tmp_path: Path, seed: int) -> None:
    model = configured_model(cfg)
    Extraction(cfg, model).write(tmp_path / "store")
    cfg.MODEL.STORE.PATH = str(tmp_path / "store")
    batch = next(training_source(cfg, model, seed).starting_at(0))
    assert len(batch.labels) == 2 * QUERIES
    # Checkpoints carry the share of the store, whatever the configuration would ask of a new one.
    cfg.MODEL.STORE.NO_OBJECT_SHARE = 0.5
    assert yaml.safe_load(Trainer(cfg).checkpointer.config)["MODEL"]["STORE"][SHARE] == 1.0
    with torch.no_grad():
        next(model.backbone.parameters()).add_(1)
    with pytest.raises(InputError, match="store: this store is of another model"):
        next(training_source(cfg, model, seed).starting_at(0))


def test_where_embeddings_come_from(cfg, tmp_path: Path) -> None:
    def stored() -> bool:
        check_source(cfg)
        return asks_for_store(cfg)

    assert stored()
    cfg.MODEL.ZERO_SHOT.SOURCE = "auto"
    cfg.MODEL.ZERO_SHOT.CLASS_BALANCED = False
    assert not stored()
    cfg.MODEL.STORE.PATH = str(tmp_path / "none")
    with pytest.raises(InputError, match="none is no store of embeddings"):
        stored()
    Extraction(cfg, configured_model(cfg)).write(tmp_path / "none")
    assert stored()
    cfg.MODEL.ZERO_SHOT.SOURCE = "images"
    assert not stored()
    cfg.MODEL.ZERO_SHOT.CLASS_BALANCED = True
    with pytest.raises(InputError, match="would learn from whole images here: set it to False"):
        stored()


def test_some_of_the_images_can_stand_for_all(cfg, seed: int, tmp_path: Path, caplog) -> None:
    store = tmp_path / "store"
    cfg.SEED, cfg.MODEL.STORE.IMAGES = seed % 1000, 2
    model = configured_model(cfg)
    extraction = Extraction(cfg, model)
    chosen = [entry["file_name"] for entry in extraction.entries]
    assert chosen == [entry["file_name"] for entry in Extraction(cfg, model).entries]
    extraction.write(store)
    everything = training_entries(cfg)
    classes = [{s["category_id"] for s in entry["segments_info"]} for entry in everything]
    kept = {
        k for e, ks in zip(everything, classes, strict=True) for k in ks if e["file_name"] in chosen
    }
    lost = set().union(*classes) - kept
    assert lost
    assert all(model.split.names[k] in caplog.text for k in lost)
    # It is a store of the same training set, whatever stage 2 would have stored itself.
    cfg.MODEL.STORE.IMAGES, cfg.MODEL.STORE.PATH = 0, str(store)
    stored = training_source(cfg, model, seed)
    next(stored.starting_at(0))
    assert set().union(*(stored.image_names(n) for n in range(40))) == set(chosen)
    cfg.MODEL.STORE.IMAGES = IMAGES + 1
    with pytest.raises(InputError, match="IMAGES is 6, and the training set has 5 images"):
        Extraction(cfg, model)
