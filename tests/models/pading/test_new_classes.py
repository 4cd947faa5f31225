"""Classes added, removed and renamed in a checkpoint: a COCO-shaped one that tools then take."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pading
from pading.checkpoint.checkpointer import Checkpointer
from pading.checkpoint.weights import read_weights
from pading.commands import add_classes as tool
from pading.commands import train as train_net
from pading.engine.building import configured_model
from pading.errors import InputError
from pading.files import read_json
from pading.models.base import SegmentationModel
from pading.models.pading import new_classes as classes
from pading.models.trained import load_trained, save_trained
from pading.models.vocabulary_edits import (
    add_classes,
    class_vectors_of,
    remove_classes,
    rename_classes,
    replace_classes,
    similar_classes,
    vectors_by_encoder,
    vectors_by_file,
)
from pading.prediction import Predictor
from pading.vocabulary.class_vectors import ClassVectors, read_class_vectors
from pading.vocabulary.splits import ClassSplit, load_split
from tests.narrow import NARROW
from tests.runs import run

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "shapes" / "PADing.yaml"
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
    model = configured_model(cfg)
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
def trained(checkpoint: Path) -> SegmentationModel:
    _, model = load_trained(checkpoint, ("MODEL.DEVICE", "cpu"))
    return model


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not matter how well the new rows are learned."""
    monkeypatch.setattr(classes, "_STEPS", 10)


def vectors_for(names: Sequence[str], rng: torch.Generator) -> ClassVectors:
    vectors = torch.nn.functional.normalize(torch.randn(len(names), 384, generator=rng), dim=-1)
    return ClassVectors(tuple(names), vectors.numpy(), "a test")


def test_new_rows_are_learned_and_the_others_stay(
    trained: SegmentationModel, rng: torch.Generator
) -> None:
    vectors = vectors_for(NEW, rng)
    grown = add_classes(trained, vectors, stuff=["cable car"])
    assert grown.split.names == (*SPLIT.names, *NEW)
    hedgehog, cable_car = grown.split.classes[-2:]
    assert hedgehog.isthing and hedgehog.unseen
    assert not cable_car.isthing and cable_car.unseen
    assert hedgehog.id == max(info.id for info in SPLIT.classes) + 1
    assert np.allclose(grown.class_vectors[-2:].numpy(), vectors.vectors)
    before, after = trained.classifier.weight, grown.classifier.weight
    assert torch.equal(after[: SPLIT.num_classes], before[:-1])
    assert torch.equal(after[-1], before[-1])
    # A new row fires for its own synthetic embeddings, and for no real one.
    bias = grown.classifier.bias
    memory = grown.memory.embeddings
    real = memory[list(SPLIT.seen)].flatten(0, 1)
    best = (real @ after.T + bias).argmax(1)
    assert (best < SPLIT.num_classes).float().mean() > 0.99
    model = trained.eval()
    with torch.no_grad():
        tokens = model.semantic_projection(torch.from_numpy(vectors.vectors))
        synthetic = model.generator(tokens.repeat_interleave(20, 0))
    scores = (synthetic @ after.T + bias).argmax(1)
    assert (scores >= SPLIT.num_classes).float().mean() > 0.5


def test_no_object_counts_as_in_stage_two(trained: SegmentationModel) -> None:
    """A store that kept a fifth of its queries weighs them up, and so do new classes."""
    labels = torch.arange(SPLIT.num_classes + 1)
    weights = []
    for trained.kept_share in (1.0, 0.2):
        found = classes._row_weights(trained, labels, [1])
        weights.append(float(found[-1] / found[0]))
    assert weights[1] == pytest.approx(5 * weights[0])


@pytest.mark.parametrize(("source", "share"), [("images", 1.0), ("stored", 0.2)])
def test_share_of_unmatched_queries_that_training_met(source: str, share: float) -> None:
    cfg = configure("MODEL.ZERO_SHOT.SOURCE", source, "MODEL.STORE.NO_OBJECT_SHARE", 0.2)
    if source == "images":
        cfg.MODEL.ZERO_SHOT.CLASS_BALANCED = False
    assert configured_model(cfg).kept_share == share


def test_the_same_again_whatever_else_is_random(
    trained: SegmentationModel, rng: torch.Generator, few_steps: None
) -> None:
    vectors = vectors_for(NEW, rng)
    first, again = (add_classes(trained, vectors).classifier.weight for _ in range(2))
    assert torch.equal(first, again)


def test_removed_classes_are_gone_and_renamed_ones_stay(trained: SegmentationModel) -> None:
    less = remove_classes(trained, ["person", SPLIT.names[SPLIT.unseen[0]]])
    assert less.split.num_classes == SPLIT.num_classes - 2
    kept = [i for i, n in enumerate(SPLIT.names) if n in less.split.names]
    for name in ("classifier.weight", "memory.counts"):
        now, before = less.state_dict()[name], trained.state_dict()[name]
        assert torch.equal(now[:-1], before[kept])
        assert torch.equal(now[-1], before[-1])
    renamed = rename_classes(trained, {"person": "human"})
    assert renamed.split.names[SPLIT.names.index("person")] == "human"
    now, before = renamed.state_dict(), trained.state_dict()
    assert all(torch.equal(now[name], before[name]) for name in before)


def test_names_that_nearly_coincide(trained: SegmentationModel, rng: torch.Generator) -> None:
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


def test_a_list_of_known_and_new_classes(
    trained: SegmentationModel, rng: torch.Generator, few_steps: None
) -> None:
    known = class_vectors_of(trained, "").select(["dog", "cat"]).numpy()
    new = vectors_for(["hedgehog"], rng)
    both = ClassVectors(("dog", "cat", *new.names), np.concatenate((known, new.vectors)), "")
    asked = replace_classes(trained, both)
    assert [info.id for info in asked.split.classes] == [0, 1, 2]
    assert [info.unseen for info in asked.split.classes][-1]
    rows = [SPLIT.names.index(name) for name in ("dog", "cat")]
    assert torch.equal(asked.classifier.weight[:2], trained.classifier.weight[rows])
    with pytest.raises(InputError, match="keep at least one seen class"):
        replace_classes(trained, new)


def test_the_encoder_must_be_the_models(trained: SegmentationModel, rng: torch.Generator) -> None:
    def wrong(texts: Sequence[str]) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(len(texts), 384))

    with pytest.raises(InputError, match="wrong is not what made the class vectors"):
        vectors_by_encoder(trained, NEW, wrong, "wrong")
    with pytest.raises(InputError, match="short gives vectors of 3 numbers"):
        vectors_by_encoder(trained, NEW, lambda t: wrong(t)[:, :3], "short")
    with pytest.raises(InputError, match="no vector for 1 of 1 classes: 'hedgehog'"):
        vectors_by_file(trained, ["hedgehog"], "coco_minilm")
    assert vectors_by_file(trained, ["cat"], "coco_minilm").names == ("cat",)


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
        (lambda t, v: save_trained(configure(), t, "model.pt"), "ends in .pth"),
    ],
)
def test_what_cannot_be_done(
    change: Callable, message: str, trained: SegmentationModel, rng: torch.Generator
) -> None:
    with pytest.raises(InputError, match=message):
        change(trained, lambda names: vectors_for(names, rng))


def test_vectors_of_another_width(trained: SegmentationModel) -> None:
    narrow = ClassVectors(("owl",), np.ones((1, 7), np.float32), "a test")
    with pytest.raises(InputError, match="have 7 numbers, those of .* 384"):
        add_classes(trained, narrow)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c["model"].pop("generator.norm.weight"), "generator.norm.weight"),
        (
            lambda c: [c["model"].pop(n) for n in [*c["model"]] if n.startswith("generator.")],
            "missing",
        ),
        (lambda c: c.pop("split"), "it carries no split"),
        (lambda c: c.pop("config"), "it carries no config"),
        (lambda c: c["model"]["memory.counts"].zero_(), "memory of real embeddings is empty"),
        (
            lambda c: c["model"]["memory.counts"][:-1].zero_(),  # nothing but no-object
            "memory of real embeddings is empty",
        ),
        (
            lambda c: [c["model"].pop(n) for n in [*c["model"]] if n.startswith("memory.")],
            "it has no memory",
        ),
    ],
)
def test_checkpoints_that_cannot_be_extended(
    spoil: Callable, message: str, checkpoint: Path, tmp_path: Path
) -> None:
    content = read_weights(checkpoint)
    spoil(content)
    torch.save(content, tmp_path / "spoilt.pth")
    vectors = ClassVectors(("owl",), np.ones((1, 384), np.float32), "a test")
    with pytest.raises(InputError, match=message):
        add_classes(load_trained(tmp_path / "spoilt.pth")[1], vectors)
