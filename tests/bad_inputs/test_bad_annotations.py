"""Annotation files that are malformed, contradict themselves, or do not fit their images."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.bad_inputs.rows import Row, check_refusal, table, train
from tests.bad_inputs.world import SIZE, World, rle


def _panoptic(change: Callable[[Any], object]) -> Callable[[World], object]:
    return lambda world: world.edit("panoptic.json", change)


def _segment(**values: object) -> Callable[[World], object]:
    return _panoptic(lambda c: c["annotations"][0]["segments_info"][0].update(values))


def _image(**values: object) -> Callable[[World], object]:
    return _panoptic(lambda c: c["images"][0].update(values))


def _annotation(**values: object) -> Callable[[World], object]:
    return _panoptic(lambda c: c["annotations"][0].update(values))


def _text(text: str) -> Callable[[World], object]:
    return lambda world: world.path("panoptic.json").write_text(text)


PANOPTIC = [
    Row(
        "cut short", lambda w: w.cut("panoptic.json"), "panoptic.json: not a JSON", "fetch or make"
    ),
    Row("empty file", _text(""), "panoptic.json: not a JSON file", "fetch or make it again"),
    Row("deeply nested", _text("[" * 9**6), "panoptic.json: not a JSON", "fetch or make it again"),
    Row("NaN", _text('{"images": [NaN]}'), "NaN", "fetch or make it again"),
    Row("endless number", _text("9" * 5000), "panoptic.json: not a JSON", "fetch or make it again"),
    Row(
        "no text", lambda w: w.path("panoptic.json").write_bytes(b"\xff"), "panoptic.json: ", "make"
    ),
    Row(
        "missing", lambda w: w.path("panoptic.json").unlink(), "panoptic.json: there is no", "give"
    ),
    Row("a list", _text("[]"), "panoptic.json: expected an object", "with 'images'"),
    Row("no images", _panoptic(lambda c: c.pop("images")), "panoptic.json: 'images'", "is missing"),
    Row(
        "no annotation at all", _panoptic(lambda c: c["annotations"].clear()), "no annotated", "lay"
    ),
    Row(
        "nothing to learn",
        _panoptic(lambda c: [a["segments_info"].clear() for a in c["annotations"]]),
        "'panoptic_train'",
        "without a segment",
    ),
    Row(
        "no file name",
        _panoptic(lambda c: c["images"][0].pop("file_name")),
        "image 0",
        "'file_name'",
    ),
    Row(
        "Windows", _image(file_name="x\\\\0.jpg"), "x\\\\0.jpg: there is no such", "write / between"
    ),
    Row(
        "an address", _image(file_name="http://a.org/0.jpg"), "is an address", "fetch the file into"
    ),
    Row("upper case", _image(file_name="0.JPG"), "0.JPG: there is no such", "the folder has 0.jpg"),
    Row("size as text", _image(height="40"), "image 0", "'height' must be int, not '40'"),
    Row("no size", _image(width=-1), "image 0", "'width' is -1, not a size in pixels"),
    Row("size against file", _image(width=31), "images/0.jpg: height x width", "one of the two is"),
    Row("repeated image", _image(id=1), "image 1", "the image id 1 occurs twice"),
    Row("repeated annotation", _annotation(image_id=1), "of image 1", "remove one"),
    Row("annotation of nothing", _annotation(image_id=9), "image 9", "lists no image of this id"),
    Row("unknown class", _segment(category_id=4), "category 4", "add it to the split, or leave it"),
    Row("unseen class", _segment(category_id=5), "'spoon' is an unseen class", "may not occur"),
    Row("class as text", _segment(category_id="3"), "segment 3", "'category_id' must be int"),
    Row("crowd as text", _segment(iscrowd="no"), "segment 3", "'iscrowd' must be int"),
    Row("crowd of 2", _segment(iscrowd=2), "segment 3", "'iscrowd' is 2; it must be 0 or 1"),
    Row("no segment id", _segment(id=None), "annotation of image 0", "'id' must be int, not None"),
    Row("segment id 0", _segment(id=0), "segment id 0", "1 to 16777215"),
    Row(
        "segment id beyond colours", _segment(id=2**40), "segment id 1099511627776", "1 to 16777215"
    ),
    Row("overlapping ids", _segment(id=20), "image 0", "the segment id 20 occurs twice"),
    Row(
        "segment without pixels",
        _segment(id=77),
        "labels/0.png: the segment 77",
        "paint it, or leave",
    ),
    Row(
        "pixels without segment",
        _panoptic(lambda c: c["annotations"][0]["segments_info"].pop()),
        "labels/0.png: the segment 20 is not in the annotations",
        "list it there, or paint it 0",
    ),
    Row("segments as mapping", _annotation(segments_info={}), "image 0", "'segments_info' must be"),
    Row(
        "label file missing", _annotation(file_name="9.png"), "labels/9.png", "complete the folder"
    ),
    Row(
        "names of the other class",
        _panoptic(
            lambda c: [
                x.update(name={"cup": "fork"}.get(x["name"], x["name"])) for x in c["categories"]
            ]
        ),
        "category 3 is 'fork'",
        "which is class 9",
    ),
]


def _instances(change: Callable[[Any], object]) -> Callable[[World], object]:
    return lambda world: world.edit("instances.json", change)


def _instance(**values: object) -> Callable[[World], object]:
    return _instances(lambda c: c["annotations"][0].update(values))


_OTHER_SIZE = rle(np.ones((8, 8)))
_EMPTY = rle(np.zeros(SIZE))
_RUNS = {"size": list(SIZE)}

INSTANCES = [
    Row("repeated id", _instance(id=2), "annotation 2", "occurs twice"),
    Row(
        "no mask",
        _instances(lambda c: c["annotations"][0].pop("segmentation")),
        "annotation 1",
        "'seg",
    ),
    Row("empty mask", _instance(segmentation=_EMPTY), "annotation 1", "the mask is empty"),
    Row("no polygon", _instance(segmentation=[]), "annotation 1", "the mask is empty"),
    Row(
        "RLE of another size", _instance(segmentation=_OTHER_SIZE), "annotation 1", "size is [8, 8]"
    ),
    Row(
        "RLE too short",
        _instance(segmentation={**_RUNS, "counts": [3, 4]}),
        "annotation 1: broken RLE",
        "write the mask again",
    ),
    Row(
        "RLE of other characters",
        _instance(segmentation={**_RUNS, "counts": "\u00e9~~"}),
        "annotation 1: broken RLE",
        "write the mask again",
    ),
    Row(
        "RLE of text",
        _instance(segmentation={**_RUNS, "counts": ["a"]}),
        "annotation 1: broken RLE",
        "write the mask again",
    ),
    Row(
        "odd polygon", _instance(segmentation=[[0, 0, 1]]), "annotation 1", "a polygon is a list of"
    ),
    Row(
        "polygon of text",
        _instance(segmentation=[["a"] * 6]),
        "annotation 1",
        "a polygon is a list",
    ),
    Row(
        "flat polygon", _instance(segmentation=[0, 0, 5, 5, 0, 5]), "annotation 1", "a polygon is a"
    ),
    Row(
        "polygon outside",
        _instance(segmentation=[[0, 0, 90, 0, 90, 90]]),
        "annotation 1: a polygon reaches to x = 90",
        "whose width is 32",
    ),
    Row(
        "box outside",
        _instance(bbox=[30, 0, 20, 5]),
        "annotation 1: the bbox",
        "[x, y, width, height]",
    ),
    Row(
        "box of corners",
        _instance(bbox=[9, 9, -4, 5]),
        "annotation 1: the bbox",
        "[x, y, width, height]",
    ),
    Row(
        "box of three", _instance(bbox=[0, 0, 4]), "annotation 1: the bbox", "[x, y, width, height]"
    ),
    Row(
        "box of text", _instance(bbox=["0"] * 4), "annotation 1: the bbox", "[x, y, width, height]"
    ),
    Row("instance of nothing", _instance(image_id=9), "annotation 1", "lists no image of the id 9"),
    Row("crowd of text", _instance(iscrowd="yes"), "annotation 1", "'iscrowd' must be int"),
    Row(
        "only crowds",
        _instances(lambda c: [a.update(iscrowd=1) for a in c["annotations"]]),
        "'instance_train'",
        "without a segment",
    ),
]


@table(PANOPTIC)
def test_panoptic(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)


@table([Row(r.what, r.spoil, r.culprit, r.remedy, train(task="instance")) for r in INSTANCES])
def test_instances(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)
