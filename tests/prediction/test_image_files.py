import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detectron2.config import CfgNode
from panopticapi.utils import rgb2id
from PIL import ExifTags, Image

from pading import Predictor
from pading.engine.interruption import Interrupted
from pading.errors import InputError
from pading.evaluation.panoptic_quality import read_annotations
from pading.evaluation.pixel_scores import folder_labels
from pading.files import read_json
from pading.prediction import find_images, predict_files
from pading.prediction import image_files as module
from pading.prediction.writing import ImageWriter
from pading.vocabulary.splits import ClassSplit


@pytest.fixture
def predictor(make_cfg: Callable[..., CfgNode]) -> Predictor:
    return Predictor(make_cfg())


@pytest.fixture
def photographs(image: np.ndarray, tmp_path: Path) -> Path:
    """As cameras, scanners and broken downloads leave them."""
    folder = tmp_path / "photographs"
    (folder / "more").mkdir(parents=True)
    picture = Image.fromarray(image)
    picture.save(folder / "colour.png")
    picture.convert("L").save(folder / "grey.png")
    picture.convert("CMYK").save(folder / "print.jpg")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture.save(folder / "turned.JPG", exif=exif)
    (folder / "broken.png").write_bytes((folder / "colour.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("no image")
    (folder / "._colour.png").write_text("what a Mac leaves behind")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_images_of_a_folder(photographs: Path) -> None:
    images, others = find_images([photographs, photographs / "notes.txt"])
    assert [path.name for path in images] == [
        *("broken.png", "colour.png", "grey.png", "print.jpg", "turned.JPG"),
        "notes.txt",  # named, so it is tried
    ]
    assert [path.name for path in others] == ["._colour.png", "more", "notes.txt"]


def test_no_images(photographs: Path) -> None:
    with pytest.raises(InputError, match="no image there; name images, or a folder"):
        find_images([photographs / "more"])
    with pytest.raises(InputError, match="nowhere: there is no such file or folder"):
        find_images([photographs, photographs / "nowhere"])


def test_all_kinds_of_files(predictor: Predictor, photographs: Path, tmp_path: Path) -> None:
    images, _ = find_images([photographs])
    output = tmp_path / "new" / "output"
    [problem] = predict_files(predictor, images, output)
    assert problem.startswith(f"{photographs / 'broken.png'}: cannot read this image")

    sizes = {"colour": (48, 64), "grey": (48, 64), "print": (48, 64), "turned": (64, 48)}
    annotations = read_annotations(
        output / "panoptic.json", output / "panoptic", predictor.split, ground_truth=False
    )
    assert list(annotations) == list(sizes)
    listed = read_json(output / "panoptic.json")
    assert {i["id"]: (i["height"], i["width"]) for i in listed["images"]} == sizes
    unseen = {c["id"] for c in listed["categories"] if c["unseen"]}
    assert unseen == {predictor.split.classes[i].id for i in predictor.split.unseen}
    names = {f"{name}.png" for name in sizes}
    for folder in ("panoptic", "semantic"):
        assert {path.name for path in (output / folder).iterdir()} == names
        assert {path.name for path in (output / f"{folder}_overlays").iterdir()} == names
    assert {path.name for path in (output / "instance_overlays").iterdir()} == names

    found = predictor(np.asarray(Image.open(photographs / "colour.png")))
    ids = rgb2id(np.asarray(Image.open(output / "panoptic" / "colour.png")))
    np.testing.assert_array_equal(ids, found.panoptic.ids)
    assert annotations["colour"]["segments_info"] == found.panoptic.segments
    labels = np.asarray(Image.open(output / "semantic" / "colour.png"))
    np.testing.assert_array_equal(labels, found.semantic)
    detections = read_json(output / "instance.json")
    assert [d for d in detections if d["image_id"] == "colour"] == [
        {"image_id": "colour", **d} for d in found.instance
    ]
    turned = Image.open(output / "panoptic" / "turned.png")
    assert turned.size == (48, 64)


def test_processes_change_nothing(
    predictor: Predictor,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_IMAGES_PER_WRITER", 2)
    images, _ = find_images([photographs])
    one, two = tmp_path / "one", tmp_path / "two"
    for _ in range(2):  # a second run replaces what the first left
        predict_files(predictor, images, one)
    predict_files(predictor, images, two, workers=2)
    assert contents(one) == contents(two)
    assert len(contents(one)) == 3 + 4 * 5


def test_an_interrupted_run_leaves_no_listing(
    predictor: Predictor, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [photographs / "colour.png", photographs / "grey.png"]
    predict_files(predictor, images, tmp_path / "output")
    write = ImageWriter.__call__

    def fail(self: ImageWriter, source: module.Source, *rest: object) -> object:
        if source.name == "grey":
            raise KeyboardInterrupt
        return write(self, source, *rest)

    monkeypatch.setattr(ImageWriter, "__call__", fail)
    with pytest.raises(KeyboardInterrupt):
        predict_files(predictor, images, tmp_path / "output")
    left = contents(tmp_path / "output")
    assert not [name for name in left if name.endswith(".json") or "partial" in name]


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 0), (signal.SIGTERM, 2)])
def test_what_is_finished_stays_when_it_is_stopped(
    predictor: Predictor,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    workers: int,
) -> None:
    monkeypatch.setattr(module, "_IMAGES_PER_WRITER", 2)
    names = ("colour.png", "grey.png", "print.jpg", "turned.JPG")
    infer, output = predictor.infer, tmp_path / "output"
    calls: list[object] = []

    def stopped(*inputs: object) -> object:
        calls.append(inputs)
        if len(calls) == 2:
            signal.raise_signal(number)
        return infer(*inputs)

    monkeypatch.setattr(predictor, "infer", stopped)
    with pytest.raises(Interrupted):
        predict_files(predictor, [photographs / name for name in names], output, workers)
    assert len(calls) == 2
    for task in ("panoptic", "semantic"):
        listed = read_json(output / f"{task}.json")["images"]
        assert [image["file_name"] for image in listed] == [*names[:2]]
        found = sorted(path.name for path in (output / task).iterdir())
        assert found == ["colour.png", "grey.png"]
    assert {d["image_id"] for d in read_json(output / "instance.json")} == {"colour", "grey"}
    assert f"the results of 2 of 4 images are in {output}" in caplog.text


def test_a_thin_image_stops_nothing(
    predictor: Predictor, photographs: Path, tmp_path: Path
) -> None:
    thin = photographs / "thin.png"
    Image.new("RGB", (2, 3000), "red").save(thin)
    output = tmp_path / "output"
    assert not predict_files(predictor, [thin, photographs / "colour.png"], output)
    assert Image.open(output / "panoptic_overlays" / "thin.png").size == (4, 6000)
    assert Image.open(output / "panoptic" / "thin.png").size == (2, 3000)


@pytest.mark.parametrize(("largest", "fits"), [(65533, True), (65534, False), (70000, False)])
def test_class_ids_that_label_maps_hold(
    predictor: Predictor, photographs: Path, tmp_path: Path, largest: int, fits: bool
) -> None:
    classes = predictor.split.classes
    predictor.split = ClassSplit("large", (*classes[:-1], replace(classes[-1], id=largest)))
    images = [photographs / "colour.png"]
    if not fits:
        with pytest.raises(InputError, match=f"has the id {largest}, and the 16 bits of label"):
            predict_files(predictor, images, tmp_path / "output")
        assert not (tmp_path / "output").exists()
        return
    predict_files(predictor, images, tmp_path / "output")
    labels = folder_labels(tmp_path / "output" / "semantic", predictor.split)["colour"]
    ids = np.array([info.id for info in predictor.split.classes])
    np.testing.assert_array_equal(ids[labels], predictor(images[0]).semantic)


def test_a_full_disk_is_named(
    predictor: Predictor, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match="cannot write .No space left on device.; make room"):
        predict_files(predictor, [photographs / "colour.png"], tmp_path / "output")


def test_numbers_are_ids(image: np.ndarray, predictor: Predictor, tmp_path: Path) -> None:
    images = [tmp_path / "000000000042.png", tmp_path / "7.png"]
    for path in images:
        Image.fromarray(image).save(path)
    predict_files(predictor, images, tmp_path / "output", overlays=False)
    for name in ("panoptic", "semantic"):
        assert [i["id"] for i in read_json(tmp_path / "output" / f"{name}.json")["images"]] == [
            42,
            7,
        ]
    assert {d["image_id"] for d in read_json(tmp_path / "output" / "instance.json")} == {42, 7}
    assert not list((tmp_path / "output").glob("*_overlays"))


def test_images_of_one_name(predictor: Predictor, photographs: Path, tmp_path: Path) -> None:
    shutil.copy(photographs / "print.jpg", photographs / "colour.jpg")
    images = [photographs / "colour.png", photographs / "colour.jpg"]
    predict_files(predictor, images, tmp_path / "output", overlays=False)
    assert sorted(path.name for path in (tmp_path / "output" / "panoptic").iterdir()) == [
        "colour.jpg.png",
        "colour.png.png",
    ]
    shutil.copy(photographs / "colour.png", photographs / "more")
    images.append(photographs / "more" / "colour.png")
    with pytest.raises(InputError, match="two images are called colour.png; predict on them into"):
        predict_files(predictor, images, tmp_path / "output")


def test_nothing_found_is_an_empty_list(
    make_cfg: Callable[..., CfgNode], photographs: Path, tmp_path: Path
) -> None:
    predictor = Predictor(make_cfg())
    predictor.model.inference = replace(predictor.model.inference, max_instances=0)
    predict_files(predictor, [photographs / "grey.png"], tmp_path)
    assert json.loads((tmp_path / "instance.json").read_text()) == []
