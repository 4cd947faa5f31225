"""Preparation and scoring: bad files are named, and nothing is half written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pading.commands import evaluate as evaluate_predictions
from pading.commands import vectors as build_class_vectors
from pading.data.preparation import coco_instances, coco_panoptic, coco_stuff, shapes
from tests import runs
from tests.bad_inputs.rows import Row, Run, check_refusal, nothing, table
from tests.bad_inputs.world import SIZE, World, rle


def _tool(main: Callable[..., None], *arguments: object) -> Run:
    def run(world: World) -> None:
        runs.run(main, *(str(a).replace("{root}", str(world.root)) for a in arguments))

    return run


_COMMON = ("--root", "{root}", "--subsets", "train")
_SPLIT = ("--split", "{root}/split.json", "--workers", 1)
_PANOPTIC = _tool(
    coco_panoptic.main, *_COMMON, *_SPLIT, "--train", "panoptic.json", "images", "labels"
)
_STUFF = _tool(coco_stuff.main, *_COMMON, *_SPLIT, "--train", "images", "maps")
_INSTANCES = _tool(
    coco_instances.main,
    *(*_COMMON, "--splits", "{root}/split.json", "--train", "instances.json"),
)
_SHAPES = (shapes.main, "--root", "{root}/shapes", "--train", 1, "--val", 1)


def _edit(name: str, change: Callable[[Any], object]) -> Callable[[World], object]:
    return lambda world: world.edit(name, change)


def _unknown_value(world: World) -> None:
    Image.fromarray(np.full(SIZE, 7, np.uint8)).save(world.path("maps/0.png"))


PREPARATION = [
    Row(
        "panoptic: missing",
        lambda w: w.path("panoptic.json").unlink(),
        "panoptic.json",
        "give the path",
        _PANOPTIC,
    ),
    Row(
        "panoptic: cut short",
        lambda w: w.cut("panoptic.json"),
        "panoptic.json: not a JSON file",
        "make it again",
        _PANOPTIC,
    ),
    Row(
        "panoptic: damaged PNG",
        lambda w: w.cut("labels/0.png"),
        "labels/0.png: cannot read this image",
        "fetch or make",
        _PANOPTIC,
    ),
    Row(
        "panoptic: unknown split",
        nothing,
        "no class split 'coco'",
        "or the path of a .json file",
        _tool(coco_panoptic.main, *_COMMON, "--split", "coco"),
    ),
    Row(
        "instances: cut short",
        lambda w: w.cut("instances.json"),
        "instances.json: not a JSON file",
        "make it again",
        _INSTANCES,
    ),
    Row(
        "instances: categories of other data",
        _edit("instances.json", lambda c: c["categories"].pop(0)),
        "category 3 is None, but 'cup'",
        "give the annotations that the split is made for",
        _INSTANCES,
    ),
    Row(
        "stuff: unknown value", _unknown_value, "maps/0.png: the value 7", "ignored_labels", _STUFF
    ),
    Row(
        "stuff: no image",
        lambda w: w.path("images/0.jpg").unlink(),
        "maps/0.png: there is no image",
        "complete that folder",
        _STUFF,
    ),
    Row(
        "shapes: too small",
        nothing,
        "Shapes: size is 8",
        "at least 64",
        _tool(*_SHAPES, "--size", 8),
    ),
    Row("shapes: none", nothing, "Shapes: train is 0", "at least 1", _tool(*_SHAPES[:4], 0)),
    Row(
        "shapes: something else is there",
        nothing,
        "world: this is no finished Shapes data set",
        "choose another folder",
        _tool(shapes.main, "--root", "{root}"),
    ),
    Row(
        "shapes: below a file",
        nothing,
        "split.json/shapes: cannot make this folder",
        "name another place",
        _tool(shapes.main, "--root", "{root}/split.json/shapes"),
    ),
]


@table(PREPARATION)
def test_preparation(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)


def _score(task: str, truth: str, predictions: str) -> Run:
    return _tool(
        evaluate_predictions.main,
        *("--task", task, "--split", "{root}/split.json", "--output", "{root}/scores.json"),
        *("--ground-truth", f"{{root}}/{truth}", "--predictions", f"{{root}}/{predictions}"),
        *(
            ("--ground-truth-folder", "{root}/labels", "--predictions-folder", "{root}/labels")
            if task == "panoptic"
            else ()
        ),
    )


_OF_PANOPTIC = _score("panoptic", "panoptic.json", "found.json")
_OF_INSTANCES = _score("instance", "instances.json", "found.json")


def _found(change: Callable[[Any], object]) -> Callable[[World], object]:
    """Predictions that are the ground truth, but for one thing."""

    def spoil(world: World) -> None:
        world.path("found.json").write_bytes(world.path("panoptic.json").read_bytes())
        world.edit("found.json", change)

    return spoil


def _detection(**values: object) -> Callable[[World], object]:
    entry = {"image_id": 0, "category_id": 3, "score": 0.5, "segmentation": rle(np.eye(*SIZE))}
    return lambda world: world.write_json("found.json", [{**entry, **values}])


def _truth(**values: object) -> Callable[[World], object]:
    def spoil(world: World) -> None:
        world.write_json("found.json", [])
        world.edit("instances.json", lambda c: c["annotations"][0].update(values))

    return spoil


def _segments(change: Callable[[Any], object]) -> Callable[[World], object]:
    return _found(lambda c: change(c["annotations"][0]["segments_info"]))


_REPEAT = "give every segment of an image its own"
SCORING = [
    Row(
        "panoptic: missing",
        nothing,
        "found.json: there is no such file",
        "give the path",
        _OF_PANOPTIC,
    ),
    Row(
        "panoptic: unknown image",
        _found(lambda c: c["annotations"][0].update(image_id=9)),
        "image_id 9",
        "score predictions of the same data",
        _OF_PANOPTIC,
    ),
    Row(
        "panoptic: image twice",
        _found(lambda c: c["annotations"][0].update(image_id=1)),
        "image_id 1 occurs twice",
        "keep one",
        _OF_PANOPTIC,
    ),
    Row(
        "panoptic: unknown class",
        _segments(lambda s: s[0].update(category_id=4)),
        "category 4",
        "add it to the split",
        _OF_PANOPTIC,
    ),
    Row(
        "panoptic: segment twice",
        _segments(lambda s: s[0].update(id=20)),
        "the segment id 20 occurs twice",
        _REPEAT,
        _OF_PANOPTIC,
    ),
    Row(
        "panoptic: PNG of others",
        _segments(lambda s: s.pop()),
        "labels/0.png",
        "write PNG and JSON again",
        _OF_PANOPTIC,
    ),
    Row(
        "panoptic: PNG missing",
        _found(lambda c: c["annotations"][0].update(file_name="9.png")),
        "9.png: is missing",
        "write it again",
        _OF_PANOPTIC,
    ),
    Row(
        "panoptic: PNG elsewhere",
        _found(lambda c: c["annotations"][0].update(file_name="../maps/0.png")),
        "'../maps/0.png' leads out of",
        "relative to that folder",
        _OF_PANOPTIC,
    ),
    Row(
        "instance: no list",
        lambda w: w.write_json("found.json", {}),
        "found.json: is no list",
        "COCO's results format",
        _OF_INSTANCES,
    ),
    Row(
        "instance: mask of another size",
        _detection(segmentation=rle(np.eye(8))),
        "size is [8, 8]",
        "masks are of the size",
        _OF_INSTANCES,
    ),
    Row(
        "instance: broken mask",
        _detection(segmentation={"size": list(SIZE), "counts": "~"}),
        "broken RLE",
        "write the mask again",
        _OF_INSTANCES,
    ),
    Row(
        "instance: box of text",
        _detection(bbox=["a"] * 4),
        "detection 0 (counted from 0): the bbox",
        "correct it",
        _OF_INSTANCES,
    ),
    Row(
        "instance: score of text",
        _detection(score="high"),
        "detection 0",
        "'score' must be int or float",
        _OF_INSTANCES,
    ),
    Row(
        "instance: NaN",
        _detection(score=float("nan")),
        "found.json: not a JSON file: NaN",
        "make it again",
        _OF_INSTANCES,
    ),
    Row(
        "instance: truth outside",
        _truth(bbox=[90, 0, 9, 9]),
        "annotations[0]: the bbox",
        "inside the image",
        _OF_INSTANCES,
    ),
    Row(
        "instance: truth of text",
        _truth(segmentation=[["a"] * 6]),
        "annotations[0]: a polygon is",
        "x, y, x, y",
        _OF_INSTANCES,
    ),
    Row(
        "semantic: no maps",
        lambda w: w.path("found").mkdir(),
        "found: has no PNG file",
        "name the folder",
        _score("semantic", "maps", "found"),
    ),
    Row(
        "semantic: no archive",
        lambda w: w.path("found.npz").write_bytes(b"x"),
        "found.npz: cannot be read",
        "as np.savez does",
        _score("semantic", "maps", "found.npz"),
    ),
    Row(
        "semantic: objects",
        lambda w: np.savez(w.path("found.npz"), **{"0": np.array([{}], dtype=object)}),
        "found.npz: the array 0 is broken",
        "write it again",
        _score("semantic", "maps", "found.npz"),
    ),
    Row(
        "semantic: another size",
        lambda w: np.savez(w.path("found.npz"), **{"0": np.zeros((3, 3), np.uint8)}),
        "prediction of image 0",
        "predict at the size",
        _score("semantic", "contiguous", "found.npz"),
    ),
]


@table(SCORING)
def test_scoring(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.path("contiguous").mkdir()
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(world.path("contiguous/0.png"))
    check_refusal(row, world, capsys)


_VECTORS = build_class_vectors.main
VECTORS = [
    Row(
        "no names",
        nothing,
        "no class names",
        "give --names-from SPLIT or --names",
        _tool(_VECTORS, "--output", "{root}/v.npz"),
    ),
    Row(
        "other ending",
        nothing,
        "v.txt: the file's name must end in .npz",
        "--output",
        _tool(_VECTORS, "--names", "a", "--output", "{root}/v.txt"),
    ),
]


@table(VECTORS)
def test_vectors(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)
