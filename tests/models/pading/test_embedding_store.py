"""Stores of embeddings on disk: what they hold, going on after a kill, what is refused."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode

import pading
from pading.data.mappers import SegmentationMapper
from pading.data.shapes.generation import ShapesSettings, generate
from pading.engine.building import configured_model
from pading.errors import InputError
from pading.models.pading.embedding_store import (
    EmbeddingStore,
    Header,
    segmenter_checksum,
    shard_path,
)
from pading.models.pading.embeddings import BalancedRows, ImageRows
from pading.models.pading.extraction import Extraction
from pading.vocabulary.splits import ClassSplit, load_split
from tests.models.pading import synthetic_store
from tests.narrow import NARROW

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "shapes" / "PADing.yaml"
IMAGES = 5
# More than a scene has segments.
QUERIES = 16
SPLIT = load_split("shapes")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("datasets")
    settings = ShapesSettings(seed=0, train=IMAGES, val=1, size=64)
    generate(root / "shapes", SPLIT, settings, workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(root))
        yield root


@pytest.fixture
def configure(scenes: Path) -> Callable[..., CfgNode]:
    """Give ``configure(KEY, VALUE, ...)``: the narrow stage 2 with three items in a shard."""

    def make(*overrides: object) -> CfgNode:
        settings = {
            **NARROW,
            "MODEL.SEGMENTER.NUM_QUERIES": QUERIES,
            "SOLVER.IMS_PER_BATCH": 2,
            "MODEL.STORE.SHARD_IMAGES": 3,
        }
        pairs = [*(part for pair in settings.items() for part in pair), *overrides]
        cfg = pading.load_config(str(CONFIG), list(map(str, pairs)))
        pading.register_datasets(cfg)
        return cfg

    return make


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_interrupted_and_shared_work_gives_the_same_bytes(
    configure: Callable, tmp_path: Path, seed: int
) -> None:
    cfg = configure("MODEL.STORE.AUGMENTATIONS", 2, "MODEL.STORE.NO_OBJECT_SHARE", 0.5)
    extraction = Extraction(cfg, configured_model(cfg))
    assert extraction.header.shard_items() == [range(0, 3), range(3, 6), range(6, 9), range(9, 10)]
    extraction.write(tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    assert len(whole) == 5

    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for shard in (1, 3):
        shard_path(tmp_path / "killed", shard).unlink()
    kept = shard_path(tmp_path / "killed", 0).stat().st_mtime_ns
    torch.rand(seed % 7)  # what was drawn before makes no difference
    extraction.write(tmp_path / "killed")
    assert contents(tmp_path / "killed") == whole
    assert shard_path(tmp_path / "killed", 0).stat().st_mtime_ns == kept

    for part in (1, 0):
        extraction.write(tmp_path / "parts", part, 2)
    assert contents(tmp_path / "parts") == whole


def test_it_holds_what_the_segmenter_gives(configure: Callable, tmp_path: Path, seed: int) -> None:
    cfg = configure("INPUT.AUGMENTATION", "none")
    model = configured_model(cfg)
    extraction = Extraction(cfg, model)
    extraction.write(tmp_path)
    store = EmbeddingStore(tmp_path, model.split)
    mapper = SegmentationMapper(cfg, is_train=True)
    for item, entry in enumerate(extraction.entries):
        embeddings, labels = model.labelled_embeddings([mapper(entry)])
        rows = store.item_rows(torch.tensor([item]))
        torch.testing.assert_close(store.embeddings(rows), embeddings, rtol=1e-4, atol=1e-5)
        # Which query is matched depends on the points drawn; how many of which class does not.
        assert sorted(store.labels[rows].tolist()) == sorted(labels.tolist())


def test_share_of_unmatched_queries_and_half_precision(
    configure: Callable, tmp_path: Path, seed: int
) -> None:
    cfg = configure()
    model = configured_model(cfg)
    Extraction(cfg, model).write(tmp_path / "all")
    sparse = ("MODEL.STORE.NO_OBJECT_SHARE", 0.25, "MODEL.STORE.DTYPE", "float16")
    Extraction(configure(*sparse), model).write(tmp_path / "some")
    whole, some = (EmbeddingStore(tmp_path / n, model.split) for n in ("all", "some"))
    matched = [(s.labels != s.no_object).nonzero()[:, 0] for s in (whole, some)]
    assert torch.equal(whole.labels[matched[0]], some.labels[matched[1]])
    torch.testing.assert_close(
        some.embeddings(matched[1]), whole.embeddings(matched[0]).half().float(), rtol=0, atol=0
    )
    assert len(some.labels) < len(whole.labels)
    assert (whole.no_object_share, some.no_object_share) == (1.0, 0.25)


def test_mixed_precision_is_that_of_stage_two_and_noted(
    configure: Callable, tmp_path: Path, seed: int
) -> None:
    whole = configure()
    mixed = configure("SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "bfloat16")
    model = configured_model(whole)
    stores = {}
    for cfg, name in ((whole, "float32"), (mixed, "bfloat16")):
        extraction = Extraction(cfg, model)
        assert extraction.header.settings["AMP"] == name
        extraction.write(tmp_path / name)
        stores[name] = EmbeddingStore(tmp_path / name, model.split)
    rows = torch.arange(len(stores["float32"].labels))
    exact, near = (store.embeddings(rows) for store in stores.values())
    assert 1e-4 < (exact - near).abs().mean() < 0.05, "layer-normed: of size 1"
    with pytest.raises(InputError, match="made with other settings"):
        Extraction(mixed, model).write(tmp_path / "float32")


def test_a_segmenter_that_overflows_names_its_images(
    configure: Callable, tmp_path: Path, seed: int
) -> None:
    cfg = configure()
    model = configured_model(cfg)
    extraction = Extraction(cfg, model)
    with torch.no_grad():
        model.sem_seg_head.predictor.class_embed.bias.fill_(torch.inf)
    with pytest.raises(InputError, match=r"not finite: .*SOLVER\.AMP\.DTYPE.*\.(jpg|png)"):
        extraction.write(tmp_path)


def test_labels_follow_the_names_of_another_split(
    configure: Callable, tmp_path: Path, seed: int
) -> None:
    cfg = configure()
    Extraction(cfg, configured_model(cfg)).write(tmp_path)
    turned = ClassSplit("turned", SPLIT.classes[::-1])
    here, there = EmbeddingStore(tmp_path, SPLIT), EmbeddingStore(tmp_path, turned)
    real = here.labels < SPLIT.num_classes
    assert torch.equal(SPLIT.num_classes - 1 - here.labels[real], there.labels[real])
    assert (there.labels[~real] == there.no_object).all()
    less = ClassSplit("less", SPLIT.classes[:-1])
    with pytest.raises(InputError, match=f"embeddings of '{SPLIT.names[-1]}', which the split"):
        EmbeddingStore(tmp_path, less)


def test_what_unseen_classes_there_are_is_no_part_of_the_checksum(
    configure: Callable, seed: int
) -> None:
    model = configured_model(configure())
    before = segmenter_checksum(model)
    head = model.sem_seg_head["predictor"].class_embed
    with torch.no_grad():
        head.weight[model.unseen] += 1
    assert segmenter_checksum(model) == before
    with torch.no_grad():
        head.weight[model.seen[0]] += 1
    assert segmenter_checksum(model) != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "0"}, r"another model \(checksum of the segmenter's weights\)"),
        ({"classes": ["moon"]}, r"another class split .*\['moon'\] in its header"),
        ({"data_sets": ["coco"]}, r"another training set: \['coco'\] in its header"),
        ({"data": "0"}, "another training set of the same name"),
        ({"input": {"INPUT.AUGMENTATION": "none"}}, "setting INPUT.AUGMENTATION: 'none'"),
        (
            {"input": {"MODEL.ZERO_SHOT.BACKBONE_FEATURES": ["res4"]}},
            r"setting MODEL.ZERO_SHOT.BACKBONE_FEATURES: \['res4'\] in its header, \[\] given",
        ),
        ({"width": 3}, "another embedding width: 3 in its header, 32 given"),
    ],
)
def test_another_header_is_refused_by_name(
    changes: dict, message: str, configure: Callable, tmp_path: Path, seed: int
) -> None:
    cfg = configure()
    header = Extraction(cfg, configured_model(cfg)).header
    with pytest.raises(InputError, match=message):
        dataclasses.replace(header, **changes).require(header, tmp_path)
    header.write(tmp_path)
    Header.read(tmp_path).require(header, tmp_path)


def test_the_sizes_of_semantic_crops_are_kept(
    configure: Callable, tmp_path: Path, seed: int
) -> None:
    cfg = configure("INPUT.AUGMENTATION", "semantic", "INPUT.CROP_SIZE", (32, 48))
    model = configured_model(cfg)
    Extraction(cfg, model).header.write(tmp_path)
    store, cfg.INPUT.CROP_SIZE = Header.read(tmp_path), (32, 64)
    with pytest.raises(InputError, match=r"setting INPUT.CROP_SIZE: \[32, 48\]"):
        store.require(Extraction(cfg, model).header, tmp_path)
    del store.input["INPUT.CROP_SIZE"]  # as a store made before has none
    store.require(Extraction(cfg, model).header, tmp_path)


def test_what_is_no_finished_store(configure: Callable, tmp_path: Path, seed: int) -> None:
    with pytest.raises(InputError, match="is no store of embeddings"):
        EmbeddingStore(tmp_path, SPLIT)
    cfg = configure()
    extraction = Extraction(cfg, configured_model(cfg))
    extraction.write(tmp_path, 0, 2)
    with pytest.raises(InputError, match=r"unfinished, 1 of 2 shards .*00001\.safetensors"):
        EmbeddingStore(tmp_path, SPLIT)
    extraction.write(tmp_path)
    path = shard_path(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"00000\.safetensors: a damaged shard"):
        EmbeddingStore(tmp_path, SPLIT)
    other = Extraction(configure("MODEL.STORE.AUGMENTATIONS", 3), extraction.model)
    with pytest.raises(InputError, match="made with other settings"):
        other.write(tmp_path)
    (tmp_path / "header.json").write_text('{"format": "x"}')
    with pytest.raises(InputError, match="of format 'x'"):
        EmbeddingStore(tmp_path, SPLIT)


def test_too_little_room(configure: Callable, tmp_path: Path, seed: int, monkeypatch) -> None:
    cfg = configure()
    extraction = Extraction(cfg, configured_model(cfg))
    expected = IMAGES * QUERIES * (32 * 4 + 2)
    assert extraction.estimated_bytes() == expected
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(InputError, match=r"0\.0 GB free"):
        extraction.write(tmp_path)


def test_drawing_by_image_and_by_class(tmp_path: Path, seed: int) -> None:
    coco = load_split(synthetic_store.COCO)
    synthetic_store.make(tmp_path, coco, images=300, width=4, shard_images=70)
    store = EmbeddingStore(tmp_path, coco)
    whole = store.embeddings(torch.arange(len(store.labels)))
    random = np.random.default_rng(seed)
    rows = ImageRows(store).rows(6, random)
    per_image = synthetic_store.MATCHED + synthetic_store.UNMATCHED
    assert all(r.diff().eq(1).all() for r in rows.split(per_image))
    assert torch.equal(store.embeddings(rows), whole[rows])

    store.labels[store.labels == coco.seen[0]] = coco.seen[1]  # one class has twice as many
    labels = store.labels[BalancedRows(store).rows(3000, random)]
    matched = labels[labels != store.no_object]
    assert len(labels) == 3000 * per_image
    assert len(matched) == 3000 * synthetic_store.MATCHED
    counts = matched.bincount(minlength=coco.num_classes)
    expected = len(matched) / (coco.num_seen - 1)
    assert counts[coco.seen[0]] == 0
    assert (counts[list(coco.seen[1:])] - expected).abs().max() < 7 * expected**0.5


def test_a_step_reads_little_of_a_large_store(tmp_path: Path) -> None:
    coco = load_split(synthetic_store.COCO)
    synthetic_store.make(tmp_path, coco, images=6000, width=256, shard_images=1000)
    found = synthetic_store.measure(tmp_path, coco, images_per_step=12, steps=30)
    assert found["gigabytes"] * 118_000 / 6000 < 4
    # The store is 61 MB of embeddings; nothing near that may be copied.
    assert found["own_memory_growth_mb"] < 25
    assert found["image_rows_per_step"] == found["balanced_rows_per_step"] == 240
