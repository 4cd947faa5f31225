"""Class splits, class vectors and data set files that cannot be used."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.bad_inputs.rows import Row, check_refusal, nothing, table, train
from tests.bad_inputs.world import CLASSES, World

_STAGE_TWO = train(stage="PADing")


def _split(change: Callable[[Any], object]) -> Callable[[World], object]:
    return lambda world: world.edit("split.json", change)


def _class(number: int, **values: object) -> Callable[[World], object]:
    return _split(lambda c: c["classes"][number].update(values))


SPLITS = [
    Row(
        "missing",
        lambda w: w.path("split.json").unlink(),
        "split.json: there is no",
        "give the path",
    ),
    Row("cut short", lambda w: w.cut("split.json"), "split.json: not a JSON file", "make it again"),
    Row("no classes", _split(lambda c: c.pop("classes")), "split.json: 'classes'", "is missing"),
    Row("repeated id", _class(1, id=3), "the id 3 occurs twice", "give every class its own"),
    Row("repeated name", _class(1, name="cup"), "the name 'cup' occurs twice", "give every class"),
    Row("id as text", _class(1, id="9"), "class number 1", "'id' must be int, not '9'"),
    Row("thing as number", _class(1, isthing=1), "class number 1", "'isthing' must be bool, not 1"),
    Row("negative id", _class(1, id=-9), "id=-9", "ids start at 0"),
    Row("no name", _class(1, name=" "), "name=' '", "names are not empty"),
    Row(
        "misspelt key",
        _class(1, unsen=True),
        "unknown key 'unsen'",
        "the keys are id, isthing, name",
    ),
    Row(
        "nothing seen",
        _split(lambda c: [x.update(unseen=True) for x in c["classes"]]),
        "'kitchen' has no seen class",
        "declare at least one class",
    ),
]


def _npz(**changes: Any) -> Callable[[World], object]:
    """Class vectors with some entries changed, None for left out, under the old checksum."""

    def spoil(world: World) -> None:
        with np.load(world.path("vectors.npz")) as file:
            entries = {**file, **changes}
        kept = {key: value for key, value in entries.items() if value is not None}
        np.savez(world.path("vectors.npz"), **kept)

    return spoil


def _text(lines: list[list[object]]) -> Callable[[World], object]:
    text = "\n".join(",".join(map(str, line)) for line in lines)
    return lambda world: world.path("vectors.txt").write_text(text)


_NAMES = np.array([row[1] for row in CLASSES])
_GOOD = np.ones((5, 16), np.float32)
_NAN = np.where(np.arange(5)[:, None] == 2, np.nan, _GOOD).astype(np.float32)
_ZERO = np.where(np.arange(5)[:, None] == 2, 0, _GOOD).astype(np.float32)
_WORD2VEC = train("MODEL.CLASS_VECTORS", "{root}/vectors.txt", stage="PADing")
_MAKE = "tools/build_class_vectors.py"
VECTORS = [
    Row("missing", lambda w: w.path("vectors.npz").unlink(), "vectors.npz: neither a file", _MAKE),
    Row("cut short", lambda w: w.cut("vectors.npz"), "vectors.npz: cannot be read", _MAKE),
    Row("no bytes", lambda w: w.cut("vectors.npz", 0), "vectors.npz: cannot be read", _MAKE),
    Row("no names", _npz(names=None), "vectors.npz: the entry 'names' is missing", _MAKE),
    Row("other format", _npz(format="7"), "vectors.npz: of format '7'", _MAKE),
    Row("NaN", _npz(vectors=_NAN), "vectors.npz: the vector of class 'spoon'", "make it again"),
    Row("zeros", _npz(vectors=_ZERO), "vectors.npz: the vector of class 'spoon'", "make it again"),
    Row("twice", _npz(names=_NAMES[[0, 1, 2, 0, 4]]), "class 'cup' has 2 vectors", "keep one"),
    Row(
        "changed", _npz(vectors=_GOOD), "vectors.npz: names or vectors do not fit", "make it again"
    ),
    Row(
        "other order",
        _npz(names=_NAMES[::-1]),
        "vectors.npz: names or vectors do not",
        "make it ag",
    ),
    Row(
        "table of names", _npz(names=_NAMES[:, None]), "vectors.npz: names must be", "one per class"
    ),
    Row(
        "one number",
        _npz(vectors=np.float32(3)),
        "vectors.npz: vectors must be a float32",
        "per class",
    ),
    Row(
        "float64",
        _npz(vectors=_GOOD.astype(float)),
        "vectors.npz: vectors must be a float32",
        "row",
    ),
    Row(
        "objects",
        _npz(vectors=np.array([{}], dtype=object)),
        "vectors.npz: cannot be read",
        _MAKE,
    ),
    Row(
        "other classes",
        nothing,
        "class vectors shapes_minilm",
        _MAKE,
        train("MODEL.CLASS_VECTORS", "shapes_minilm", stage="PADing"),
    ),
    Row(
        "word2vec of another width",
        _text([[0] * 4]),
        "vectors.txt: line 1 has 4",
        "make 6",
        _WORD2VEC,
    ),
    Row(
        "word2vec with NaN",
        _text([[1] * 3 + ["nan"] * 3]),
        "vectors.txt: the vector of class 'spoon'",
        "make it again",
        _WORD2VEC,
    ),
    Row("word2vec of words", _text([["a"] * 6]), "vectors.txt: line 1", "numbers alone", _WORD2VEC),
    Row("word2vec of nothing", _text([]), "vectors.txt: ", "is empty", _WORD2VEC),
]


def _data(**values: object) -> Callable[[World], object]:
    return lambda world: world.edit("data.yaml", lambda rows: rows[0].update(values))


def _without(key: str) -> Callable[[World], object]:
    return lambda world: world.edit("data.yaml", lambda rows: rows[0].pop(key))


_SEMANTIC = train(task="semantic")
DATA_SETS = [
    Row(
        "missing", lambda w: w.path("data.yaml").unlink(), "data.yaml: cannot read", "give the path"
    ),
    Row(
        "no YAML", lambda w: w.path("data.yaml").write_text("{"), "data.yaml: ", "correct it there"
    ),
    Row(
        "words",
        lambda w: w.path("data.yaml").write_text("a b"),
        "data.yaml: ",
        "expected a mapping",
    ),
    Row("no task", _without("task"), "data.yaml: data set: 'task' (str)", "is missing"),
    Row("unknown task", _data(task="depth"), "no task 'depth'", "take one of panoptic, instance"),
    Row("unknown key", _data(image="x"), "unknown key 'image'", "the keys are name, task"),
    Row(
        "unknown split", _data(split="coco"), "no class split 'coco'", "or the path of a .json file"
    ),
    Row("no labels", _without("labels"), "'panoptic_train': a panoptic data", "needs 'labels'"),
    Row("no folder", _data(images="nowhere"), "nowhere: data set 'panoptic_train'", "lay it out"),
    Row(
        "same name twice",
        _data(name="panoptic_val"),
        "the data set 'panoptic_val' occurs twice",
        "a name of its own",
    ),
    Row("wrong type", _data(seen_only="yes"), "data.yaml: data set: 'seen_only'", "must be bool"),
    Row(
        "ignored label of text",
        lambda w: w.edit("data.yaml", lambda rows: rows[4].update(ignored_labels=["a"])),
        "data.yaml: data set: 'ignored_labels' must be a list of numbers",
        "not ['a']",
        _SEMANTIC,
    ),
    Row(
        "ignored label of a class",
        lambda w: w.edit("data.yaml", lambda rows: rows[4].update(ignored_labels=[3])),
        "'semantic_train': ignored_labels has 3",
        "which is a class of",
        _SEMANTIC,
    ),
    Row(
        "training on all",
        nothing,
        "'panoptic_val' may hold unseen",
        "seen_only",
        train("DATASETS.TRAIN", "('panoptic_val',)"),
    ),
    Row(
        "unknown data set",
        nothing,
        "no data set 'panoptic_trian'",
        "did you mean",
        train("DATASETS.TRAIN", "('panoptic_trian',)"),
    ),
    Row(
        "no data set",
        nothing,
        "DATASETS.TRAIN is empty",
        "name the data set",
        train("DATASETS.TRAIN", "()"),
    ),
    Row(
        "two splits",
        nothing,
        "'panoptic_train' and 'shapes_panoptic_val' have different class splits",
        "name data sets of the same",
        train("DATASETS.TEST", "('shapes_panoptic_val',)"),
    ),
]


@table(SPLITS)
def test_splits(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)


@table(
    [
        Row(r.what, r.spoil, r.culprit, r.remedy, _STAGE_TWO if r.run is Row.run else r.run)
        for r in VECTORS
    ]
)
def test_vectors(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)


@table(DATA_SETS)
def test_data_sets(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)
