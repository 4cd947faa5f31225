"""Forty faults in data sets of every format: all are reported, with file and entry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pading.commands import new
from tests.projects import twins

Break = Callable[[Path], None]


def in_json(name: str, change: Callable[[Any], Any]) -> Break:
    def run(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text())
        changed = change(content)
        path.write_text(json.dumps(content if changed is None else changed))

    return run


def coco(change: Callable[[Any], Any]) -> Break:
    return in_json("train.json", change)


def annotation(**values: Any) -> Break:
    """Of the fifth annotation of COCO's JSON."""
    return coco(lambda content: content["annotations"][4].update(values))


def picture(**values: Any) -> Break:
    return coco(lambda content: content["images"][2].update(values))


def shape(**values: Any) -> Break:
    return in_json("json/photo_3.json", lambda content: content["shapes"][1].update(values))


def datumaro(**values: Any) -> Break:
    def change(content: Any) -> None:
        content["items"][3]["annotations"][1].update(values)

    return in_json("annotations/default.json", change)


def item(**values: Any) -> Break:
    return in_json("annotations/default.json", lambda content: content["items"][3].update(values))


def text(name: str, old: str, fresh: str) -> Break:
    def run(folder: Path) -> None:
        content = (folder / name).read_text()
        assert old in content
        (folder / name).write_text(content.replace(old, fresh, 1))

    return run


def line(fresh: str) -> Break:
    """The second line of a YOLO label file."""

    def run(folder: Path) -> None:
        path = folder / "labels" / "train" / "photo_3.txt"
        path.write_text("\n".join([path.read_text().splitlines()[0], fresh]))

    return run


def gone(name: str) -> Break:
    return lambda folder: (folder / name).unlink()


def rubbish(name: str) -> Break:
    return lambda folder: (folder / name).write_bytes(b"no image")


def painted(name: str, size: tuple[int, int] = twins.SIZE, value: int = 77) -> Break:
    """A map in which one pixel (of the right size), or all, has a value."""

    def run(folder: Path) -> None:
        if size == twins.SIZE:
            values = np.array(Image.open(folder / name))
            values[0, 0] = value
        else:
            values = np.full(size, value, np.uint8)
        Image.fromarray(values).save(folder / name)

    return run


SQUARE = [1, 1, 9, 1, 9, 9]
XML = '<image name="photo_3.png"'
# Format, what is broken, and what names file, entry and fault.
FAULTS: dict[str, tuple[str, Break, str]] = {
    "no such image": ("coco", picture(file_name="none.png"), "none.png: there is no such file"),
    "image outside": ("coco", picture(file_name="../x.png"), "train.json: image 2"),
    "size of an image": ("coco", picture(height=40), "photo_2.png: height x width is 48 x 64"),
    "size that is none": ("coco", picture(width=0), "train.json: image 2"),
    "image twice": ("coco", picture(id=2), "train.json: image 2"),
    "broken image": ("coco", rubbish("images/photo_2.png"), "photo_2.png: cannot read this image"),
    "no category": ("coco", annotation(category_id=9), "train.json: annotation 5: category 9"),
    "image unknown": ("coco", annotation(image_id=99), "train.json: annotation 5"),
    "polygon outside": (
        "coco",
        annotation(segmentation=[[1, 1, 900, 1, 9, 9]]),
        "train.json: annotation 5: a polygon reaches to x = 900",
    ),
    "odd polygon": ("coco", annotation(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "annotation 5"),
    "polygon of texts": ("coco", annotation(segmentation=[["a"] * 6]), "train.json: annotation 5"),
    "no mask": ("coco", annotation(segmentation=None), "train.json: annotation 5"),
    "empty mask": ("coco", annotation(segmentation=[]), "train.json: annotation 5: the mask is"),
    "broken RLE": (
        "coco",
        annotation(segmentation={"size": list(twins.SIZE), "counts": [5, 5]}),
        "train.json: annotation 5: broken RLE",
    ),
    "RLE of another size": (
        "coco",
        annotation(segmentation={"size": [5, 2], "counts": [5, 5]}),
        "train.json: annotation 5: the mask's size is",
    ),
    "iscrowd": ("coco", annotation(iscrowd=3), "train.json: annotation 5: 'iscrowd' is 3"),
    "few points": (
        "coco",
        annotation(segmentation=[[1, 1, 5, 5]]),
        "annotation 5: a polygon of few",
    ),
    "no box": ("coco", annotation(bbox=[0, 0, -4, 2]), "train.json: annotation 5: 'bbox'"),
    "id of text": ("coco", annotation(category_id="1"), "train.json: annotation 5: 'category_id'"),
    "id twice": ("coco", annotation(id=2), "train.json: entry 4: its id 2"),
    "image id of text": ("coco", annotation(image_id="3"), "annotation 5: 'image_id' '3'"),
    "file twice": (
        "coco",
        coco(lambda c: c["images"].append({**c["images"][2], "id": 40})),
        "train.json: image 8 (counted from 0): photo_2.png is image 3 already",
    ),
    "class of YOLO": (
        "yolo",
        line("7 0.1 0.1 0.5 0.1 0.5 0.5"),
        "photo_3.txt: line 2: there is no",
    ),
    "box of YOLO": ("yolo", line("1 0.5 0.5 0.1 0.1"), "photo_3.txt: line 2: a box"),
    "odd YOLO": ("yolo", line("1 0.5 0.5 0.1 0.1 0.3"), "photo_3.txt: line 2: 5 numbers"),
    "pixels in YOLO": (
        "yolo",
        line("1 3 4 9 4 9 9"),
        "photo_3.txt: line 2: coordinates are shares",
    ),
    "text in YOLO": ("yolo", line("1 a b c d e f"), "photo_3.txt: line 2: could"),
    "few points of YOLO": ("yolo", line("1 0.5 0.5"), "photo_3.txt: line 2: a polygon"),
    "image of LabelMe": ("labelme", gone("images/photo_3.png"), "photo_3.json: there is no"),
    "line of LabelMe": ("labelme", shape(shape_type="line"), "photo_3.json: shape 1"),
    "points of LabelMe": ("labelme", shape(points=[1, 2, 3]), "photo_3.json: shape 1"),
    "no label": ("labelme", shape(label=None), "photo_3.json: shape 1"),
    "broken LabelMe": ("labelme", rubbish("json/photo_3.json"), "photo_3.json: not a JSON file"),
    "image of CVAT": ("cvat", text("annotations.xml", "photo_3", "none"), "xml: image 'none.png'"),
    "class of CVAT": (
        "cvat",
        text("annotations.xml", 'label="cup"', 'label="cap"'),
        "annotations.xml: image 'photo_0.png': polygon 0 (counted from 0): the class 'cap'",
    ),
    "line of CVAT": (
        "cvat",
        text("annotations.xml", "<polygon", '<polyline points="1,2" /><polygon'),
        "annotations.xml: image 'photo_0.png': polyline 0",
    ),
    "points of CVAT": (
        "cvat",
        text("annotations.xml", 'points="', 'points="a,b;'),
        "annotations.xml: image 'photo_0.png': polygon 0",
    ),
    "size of CVAT": ("cvat", text("annotations.xml", 'height="48"', 'height="x"'), "'photo_0.png'"),
    "class of Datumaro": ("datumaro", datumaro(label_id=8), "item 'photo_3': annotation 1"),
    "box of Datumaro": ("datumaro", datumaro(type="bbox"), "item 'photo_3': annotation 1"),
    "points of Datumaro": ("datumaro", datumaro(points=SQUARE[:5]), "item 'photo_3': annotation 1"),
    "image of Datumaro": ("datumaro", item(image={"path": "none.png"}), "item 'photo_3': there is"),
    "object of VOC": (
        "voc",
        painted("SegmentationClass/photo_3.png", twins.SIZE[::-1]),
        "SegmentationClass/photo_3.png: is (64, 48)",
    ),
    "class of VOC": (
        "voc",
        painted("SegmentationObject/photo_3.png", value=9),
        "SegmentationObject/photo_3.png: object 9",
    ),
    "map of VOC": ("voc", gone("SegmentationClass/photo_3.png"), "photo_3.png: there is no such"),
    "value of a map": ("maps", painted("maps/photo_3.png"), "maps/photo_3.png: the value 77"),
    "size of a map": ("maps", painted("maps/photo_3.png", (9, 9)), "maps/photo_3.png: height"),
    "image of a map": ("maps", gone("images/photo_3.png"), "maps/photo_3.png: there is no image"),
    "segment of a PNG": ("panoptic", painted("train/photo_3.png"), "photo_3.png: the segment"),
}
REPAIRABLE = (
    "few points",
    "no box",
    "id of text",
    "id twice",
    "image id of text",
    "file twice",
    "few points of YOLO",
)


def test_there_are_forty() -> None:
    assert len(FAULTS) >= 40


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_with_its_place(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, break_it, expected = FAULTS[name]
    given = twins.EVERY[kind](tmp_path)
    break_it(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    options = [str(tmp_path / "home"), *given, *twins.vectors(tmp_path / "vectors")]
    with pytest.raises(SystemExit) as exit_info:
        new.main(options)
    assert exit_info.value.code == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert any(expected in error for error in errors), errors
    assert all(("(with --fix)" in error) == (name in REPAIRABLE) for error in errors), errors
    assert not (tmp_path / "home").exists()
    if name in REPAIRABLE:
        new.main([*options, "--fix"])
        out = capsys.readouterr().out
        assert f"fixed: {errors[0][7:].removesuffix(' (with --fix)')}" in out
        assert (tmp_path / "home" / "project.yaml").is_file()
    assert {p: p.read_bytes() for p in before} == before, "the originals stay as they are"


def test_all_faults_are_listed_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = twins.write_coco(tmp_path)
    names = ("no such image", "broken image", "no category", "few points", "id of text")
    for number, name in enumerate(names):
        _, break_it, _ = FAULTS[name]
        if name in ("few points", "id of text"):
            values = {
                "few points": {"segmentation": [[1, 1, 5, 5]]},
                "id of text": {"category_id": "1"},
            }
            coco(lambda c, n=number, v=values[name]: c["annotations"][2 * n].update(v))(tmp_path)
        elif name == "no such image":
            coco(lambda c: c["images"][7].update(file_name="none.png"))(tmp_path)
        else:
            break_it(tmp_path)
    with pytest.raises(SystemExit):
        new.main([str(tmp_path / "home"), *given, *twins.vectors(tmp_path)])
    err = capsys.readouterr().err
    for expected in (
        "none.png",
        "photo_2.png: cannot",
        "category 9",
        "fewer than three",
        "'1' becomes",
    ):
        assert expected in err
    assert "5 faults, 2 that --fix mends; nothing was made" in err
