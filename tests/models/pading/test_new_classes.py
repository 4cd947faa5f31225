"""Classes added, removed and renamed in a checkpoint: a COCO-shaped one that tools then take."""

import gc
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from detectron2.modeling import build_model
from PIL import Image

import pading
from pading.checkpoint.checkpointer import Checkpointer
from pading.checkpoint.weights import read_weights
from pading.commands import add_classes as tool
from pading.commands import train as train_net
from pading.errors import InputError
from pading.files import read_json
from pading.models.pading import new_classes as classes
from pading.models.pading.naming import (
    save_trained,
    text_encoder,
    vectors_by_encoder,
    vectors_by_file,
)
from pading.models.pading.new_classes import (
    TrainedClasses,
    add_classes,
    read_trained,
    remove_classes,
    rename_classes,
    similar_classes,
)
from pading.prediction import Predictor
from pading.vocabulary.class_vectors import ClassVectors, read_class_vectors
from pading.vocabulary.splits import ClassSplit, load_split
from tests.narrow import NARROW
from tests.runs import run

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "shapes" / "PADing.yaml"
SPLIT = load_split("coco_panoptic_119_14")
NEW = ("hedgehog", "cable car")
WIDTH = NARROW["MODEL.SEGMENTER.HIDDEN_DIM"]
COCO = {
    **NARROW,
    "MODEL.CLASS_VECTORS": "coco_minilm",
    "DATASETS.TRAIN": "('coco_panoptic_119_14_train',)",
    "DATASETS.TEST": "('coco_panoptic_119_14_val',)",
}


def configure(*overrides: object):
    pairs = [*(part for pair in COCO.items() for part in pair), *overrides]
    cfg = pading.load_config(str(CONFIG), list(map(str, pairs)))
    pading.register_datasets(cfg)
    return cfg


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the classes of COCO: separable embeddings in memory, and a classifier for them."""
    folder = tmp_path_factory.mktemp("coco")
    torch.manual_seed(0)
    cfg = configure()
    model = build_model(cfg)
    centres = 3 * torch.randn(SPLIT.num_classes + 1, WIDTH)
    labels = torch.tensor([*SPLIT.seen, SPLIT.num_classes]).repeat_interleave(40)
    model.memory.keep(centres[labels] + 0.3 * torch.randn(len(labels), WIDTH), labels)
    with torch.no_grad():
        model.classifier.weight.copy_(centres)
        model.classifier.bias.copy_(-centres.square().sum(1) / 2)
        model.classifier.weight[list(SPLIT.unseen)] = 0.0
        model.classifier.bias[list(SPLIT.unseen)] = -20.0
    checkpointer = Checkpointer(model, str(folder))
    checkpointer.config = cfg.dump()
    checkpointer.save("model")
    return folder / "model.pth"


@pytest.fixture
def trained(checkpoint: Path) -> TrainedClasses:
    return read_trained(str(checkpoint))


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not matter how well the new rows are learned."""
    monkeypatch.setattr(classes, "_STEPS", 10)


def vectors_for(names: Sequence[str], rng: torch.Generator) -> ClassVectors:
    vectors = torch.nn.functional.normalize(torch.randn(len(names), 384, generator=rng), dim=-1)
    return ClassVectors(tuple(names), vectors.numpy(), "a test")


def test_new_rows_are_learned_and_the_others_stay(
    trained: TrainedClasses, rng: torch.Generator
) -> None:
    vectors = vectors_for(NEW, rng)
    grown = add_classes(trained, vectors, stuff=["cable car"])
    assert grown.split.names == (*SPLIT.names, *NEW)
    hedgehog, cable_car = grown.split.classes[-2:]
    assert hedgehog.isthing and hedgehog.unseen
    assert not cable_car.isthing and cable_car.unseen
    assert hedgehog.id == max(info.id for info in SPLIT.classes) + 1
    assert np.allclose(grown.vectors[-2:].numpy(), vectors.vectors)
    before, after = trained.model["classifier.weight"], grown.model["classifier.weight"]
    assert torch.equal(after[: SPLIT.num_classes], before[:-1])
    assert torch.equal(after[-1], before[-1])
    # A new row fires for its own synthetic embeddings, and for no real one.
    bias = grown.model["classifier.bias"]
    memory = grown.model["memory.embeddings"]
    real = memory[list(SPLIT.seen)].flatten(0, 1)
    best = (real @ after.T + bias).argmax(1)
    assert (best < SPLIT.num_classes).float().mean() > 0.99
    model = build_model(configure())
    model.load_state_dict(trained.model)
    model.eval()
    with torch.no_grad():
        tokens = model.semantic_projection(torch.from_numpy(vectors.vectors))
        synthetic = model.generator(tokens.repeat_interleave(20, 0))
    scores = (synthetic @ after.T + bias).argmax(1)
    assert (scores >= SPLIT.num_classes).float().mean() > 0.5


def test_no_object_counts_as_in_stage_two(trained: TrainedClasses) -> None:
    """A store that kept a fifth of its queries weighs them up, and so do new classes."""
    labels = torch.arange(SPLIT.num_classes + 1)
    weights = {}
    for source, share in (("images", 0.2), ("stored", 1.0), ("stored", 0.2)):
        content = {**yaml.safe_load(trained.config)}
        content["MODEL"]["ZERO_SHOT"]["SOURCE"] = source
        content["MODEL"]["STORE"]["NO_OBJECT_SHARE"] = share
        cfg = classes._configuration(replace(trained, config=yaml.safe_dump(content)))
        found = classes._row_weights(cfg, trained.model, labels, SPLIT, range(1, 2))
        weights[source, share] = float(found[-1] / found[0])
    assert weights["stored", 1.0] == pytest.approx(weights["images", 0.2])
    assert weights["stored", 0.2] == pytest.approx(5 * weights["images", 0.2])


def test_the_same_again_whatever_else_is_random(
    trained: TrainedClasses, rng: torch.Generator, few_steps: None
) -> None:
    vectors = vectors_for(NEW, rng)
    first, again = (add_classes(trained, vectors).model["classifier.weight"] for _ in range(2))
    assert torch.equal(first, again)


def test_removed_classes_are_gone_and_renamed_ones_stay(trained: TrainedClasses) -> None:
    less = remove_classes(trained, ["person", SPLIT.names[SPLIT.unseen[0]]])
    assert less.split.num_classes == SPLIT.num_classes - 2
    kept = [i for i, n in enumerate(SPLIT.names) if n in less.split.names]
    for name in ("classifier.weight", "memory.counts"):
        assert torch.equal(less.model[name][:-1], trained.model[name][kept])
        assert torch.equal(less.model[name][-1], trained.model[name][-1])
    renamed = rename_classes(trained, {"person": "human"})
    assert renamed.split.names[SPLIT.names.index("person")] == "human"
    assert renamed.model is trained.model


def test_names_that_nearly_coincide(trained: TrainedClasses, rng: torch.Generator) -> None:
    cat = read_class_vectors("coco_minilm").select(["cat"])[0].numpy()
    far = vectors_for(["hedgehog"], rng).vectors[0]
    vectors = ClassVectors(("kitten", "hedgehog", "kitty"), np.stack([cat, far, cat]), "a test")
    found = similar_classes(trained, vectors)
    assert {(a, b) for a, b, _ in found} == {
        *(("kitten", "cat"), ("kitty", "cat"), ("kitty", "kitten"))
    }
    assert all(cosine > 0.99 for *_, cosine in found)


def write_scenes(folder: Path, split: ClassSplit) -> Path:
    """Two images with a segment of a seen class and of the last one; a data set file for them."""
    folder.mkdir()
    ids = [split.classes[split.seen[0]].id, split.classes[-1].id]
    images, annotations = [], []
    for number in (1, 2):
        name = f"{number}.png"
        pixels = np.random.default_rng(number).integers(256, size=(64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
        labels = np.zeros((64, 64, 3), np.uint8)
        labels[:32, :, 0], labels[32:, :, 0] = 1, 2
        (folder / "labels").mkdir(exist_ok=True)
        Image.fromarray(labels).save(folder / "labels" / name)
        images.append({"id": number, "file_name": name, "height": 64, "width": 64})
        segments = [
            {"id": i + 1, "category_id": c, "iscrowd": 0, "area": 2048, "bbox": [0, 32 * i, 64, 32]}
            for i, c in enumerate(ids)
        ]
        annotations.append({"image_id": number, "file_name": name, "segments_info": segments})
    (folder / "val.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    row = {"name": "few", "task": "panoptic", "split": SPLIT.name, "images": "."}
    row |= {"annotations": "val.json", "labels": "labels"}
    (folder / "few.yaml").write_text(json.dumps(row))
    return folder / "few.yaml"


def test_the_tool_gives_what_other_tools_take(
    checkpoint: Path,
    tmp_path: Path,
    rng: torch.Generator,
    capsys: pytest.CaptureFixture[str],
    few_steps: None,
) -> None:
    vectors_for(NEW, rng).save(tmp_path / "new.npz")
    bigger = tmp_path / "bigger.pth"
    run(
        tool.main,
        *("--weights", checkpoint, "--names", "hedgehog", "--stuff", "cable car"),
        *("--source", tmp_path / "new.npz", "--output", bigger),
    )
    assert "135 classes, 2 new and 0 gone" in capsys.readouterr().out
    pairs = ["MODEL.WEIGHTS", bigger, "DATASETS.SPLIT", bigger.with_suffix(".json")]
    pairs += ["MODEL.CLASS_VECTORS", bigger.with_suffix(".npz")]

    predictor = Predictor(configure(*pairs))
    assert predictor.split.names[-2:] == NEW
    result = predictor(np.zeros((48, 64, 3), np.uint8))
    assert result.panoptic.ids.shape == (48, 64)

    scenes = write_scenes(tmp_path / "scenes", predictor.split)
    settings = {**COCO, "DATASETS.TEST": "('few',)", "DATASETS.TRAIN": "()"}
    settings |= {"DATASETS.FILES": f"('{scenes}',)", "OUTPUT_DIR": tmp_path / "out"}
    run(
        train_net.main,
        *("--config-file", CONFIG, "--eval-only"),
        *(part for pair in settings.items() for part in pair),
        *pairs,
    )
    results = read_json(tmp_path / "out" / "inference" / "few" / "results.json")
    figures = results["per_class"]["panoptic_seg"]
    assert len(figures) == 135
    assert figures["cable car"]["tp"] + figures["cable car"]["fn"] == 2  # there is ground truth

    # And once more: what was added can be removed, and the model is what it was.
    back = tmp_path / "back.pth"
    run(tool.main, "--weights", bigger, "--remove", *NEW, "--output", back)
    first, last = (read_weights(path)["model"] for path in (checkpoint, back))
    assert all(torch.equal(first[name], last[name]) for name in first)


def test_from_python_on_a_predictor(
    checkpoint: Path, rng: torch.Generator, few_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The weights may have an address; this one leads to the file itself.
    monkeypatch.setattr(
        "detectron2.utils.file_io.Detectron2Handler.S3_DETECTRON2_PREFIX", f"{checkpoint.parent}/"
    )
    predictor = Predictor(configure("MODEL.WEIGHTS", f"detectron2://{checkpoint.name}"))
    bigger = predictor.add_classes(vectors_for(NEW, rng), stuff=["cable car"])
    assert bigger.split.names == (*SPLIT.names, *NEW)
    assert predictor.split == SPLIT
    assert bigger(np.zeros((48, 64, 3), np.uint8)).panoptic.ids.shape == (48, 64)
    biggest = bigger.add_classes(vectors_for(("owl",), rng))
    assert biggest.split.names == (*SPLIT.names, *NEW, "owl")
    folder = Path(biggest.cfg.MODEL.WEIGHTS).parent
    assert folder.is_dir()
    del biggest
    gc.collect()
    assert not folder.exists()


def test_the_encoder_must_be_the_models(trained: TrainedClasses, rng: torch.Generator) -> None:
    def wrong(texts: Sequence[str]) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(len(texts), 384))

    with pytest.raises(InputError, match="wrong is not what made the class vectors"):
        vectors_by_encoder(trained, NEW, wrong, "wrong")
    with pytest.raises(InputError, match="short gives vectors of 3 numbers"):
        vectors_by_encoder(trained, NEW, lambda t: wrong(t)[:, :3], "short")
    with pytest.raises(InputError, match="no vector for 1 of 1 classes: 'hedgehog'"):
        vectors_by_file(trained, ["hedgehog"], "coco_minilm")
    assert vectors_by_file(trained, ["cat"], "coco_minilm").names == ("cat",)
    with pytest.raises(InputError, match="there is no text source 'word2vec'"):
        text_encoder("word2vec")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, v: add_classes(t, v(["cat"])), "the class 'cat' is there already"),
        (lambda t, v: add_classes(t, v([" "])), "name is empty"),
        (lambda t, v: add_classes(t, v(["owl"]), stuff=["x"]), "stuff 'x' is none of the new"),
        (lambda t, v: add_classes(t, v(["owl"]), ids=[1, 2]), "2 ids for 1 new"),
        (lambda t, v: add_classes(t, v(["owl"]), ids=[1]), "the id 1 occurs twice"),
        (lambda t, v: remove_classes(t, ["owl"]), "there is no class 'owl'"),
        (
            lambda t, v: remove_classes(t, [SPLIT.names[i] for i in SPLIT.unseen]),
            "no unseen class would be left",
        ),
        (lambda t, v: rename_classes(t, {"cat": "dog"}), "the name 'dog' occurs twice"),
        (lambda t, v: save_trained(t, "model.pt"), "ends in .pth"),
    ],
)
def test_what_cannot_be_done(
    change: Callable, message: str, trained: TrainedClasses, rng: torch.Generator
) -> None:
    with pytest.raises(InputError, match=message):
        change(trained, lambda names: vectors_for(names, rng))


def test_vectors_of_another_width(trained: TrainedClasses) -> None:
    narrow = ClassVectors(("owl",), np.ones((1, 7), np.float32), "a test")
    with pytest.raises(InputError, match="have 7 numbers, those of .* 384"):
        add_classes(trained, narrow)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c["model"].pop("generator.norm.weight"), None),
        (
            lambda c: [c["model"].pop(n) for n in [*c["model"]] if n.startswith("generator.")],
            "it has no generator",
        ),
        (lambda c: c.pop("split"), "it carries no split"),
        (lambda c: c.pop("config"), "it carries no config"),
        (lambda c: c["model"]["memory.counts"].zero_(), "its memory of real embeddings is empty"),
        (
            lambda c: c["model"]["memory.counts"][:-1].zero_(),  # nothing but no-object
            "its memory of real embeddings is empty",
        ),
    ],
)
def test_checkpoints_that_cannot_be_extended(
    spoil: Callable, message: str | None, checkpoint: Path, tmp_path: Path
) -> None:
    content = read_weights(checkpoint)
    spoil(content)
    torch.save(content, tmp_path / "spoilt.pth")
    if message is None:  # a part of the generator: refused where it is built
        trained = read_trained(str(tmp_path / "spoilt.pth"))
        vectors = ClassVectors(("owl",), np.ones((1, 384), np.float32), "a test")
        with pytest.raises(InputError, match="generator"):
            add_classes(trained, vectors)
        return
    with pytest.raises(InputError, match=message):
        read_trained(str(tmp_path / "spoilt.pth"))
