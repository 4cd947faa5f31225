"""Every format gives the same project and the same scores as its twin in COCO's format."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pading.commands import new
from pading.data.catalogue import register_from_file
from pading.data.formats.recognise import read_annotations
from pading.data.masks import instance_masks, semantic_labels
from pading.errors import InputError
from pading.evaluation.average_precision import score_instances
from pading.evaluation.pixel_scores import score_semantic
from pading.vocabulary.splits import load_split
from tests.projects import twins


def made(folder: Path, name: str, *options: str) -> Path:
    """The project of a format's data set."""
    (folder / name).mkdir()
    given = twins.EVERY[name](folder / name)
    new.main([str(folder / f"{name}_home"), *given, *twins.vectors(folder), *options])
    return folder / f"{name}_home"


def masks_of(project: Path, subset: str) -> dict[str, list[tuple[str, bytes]]]:
    """Image -> class and mask of its instances."""
    from detectron2.data import DatasetCatalog

    register_from_file(project / "data.yaml")
    names = load_split(project / "classes.json").names
    return {
        Path(entry["file_name"]).stem: sorted(
            (names[annotation["category_id"]], mask.astype(bool).tobytes())
            for annotation, mask in zip(entry["annotations"], instance_masks(entry), strict=True)
        )
        for entry in DatasetCatalog.get(f"{project.name}_{subset}")
    }


@pytest.mark.parametrize("name", [n for n in twins.INSTANCES if n != "coco"])
def test_a_format_is_its_coco_twin(name: str, tmp_path: Path) -> None:
    options = ("--unseen", "fork", "--val-share", "0.3")
    ours, twin = (made(tmp_path, n, *options) for n in (name, "coco"))
    classes = [json.loads((p / "classes.json").read_text())["classes"] for p in (ours, twin)]
    assert classes[0] == classes[1]
    for subset in ("train", "val"):
        assert masks_of(ours, subset) == masks_of(twin, subset)
    # The same predictions score the same against both.
    truth = [p / "annotations" / "val.json" for p in (ours, twin)]
    ids = {i["file_name"][-11:]: i["id"] for i in json.loads(truth[1].read_text())["images"]}
    content = json.loads(truth[1].read_text())
    from pycocotools import mask as coco_mask

    shifted = []
    for number, a in enumerate(content["annotations"]):
        moved = [[value + number % 3 for value in a["segmentation"][0]]]
        code = coco_mask.merge(coco_mask.frPyObjects(moved, *twins.SIZE))
        code["counts"] = code["counts"].decode()
        keys = {key: a[key] for key in ("image_id", "category_id")}
        shifted.append({**keys, "score": 0.5, "segmentation": code})
    assert ids
    (tmp_path / "predicted.json").write_text(json.dumps(shifted))
    split = load_split(twin / "classes.json")
    scores = [score_instances(path, tmp_path / "predicted.json", split)[0] for path in truth]
    assert scores[0].groups == scores[1].groups
    assert scores[0].groups["all"]["AP"] > 0


def labels_of(project: Path, subset: str) -> dict[str, np.ndarray]:
    """Image -> label map."""
    from detectron2.data import DatasetCatalog

    register_from_file(project / "data.yaml")
    entries = DatasetCatalog.get(f"{project.name}_{subset}")
    size = dict(zip(("height", "width"), twins.SIZE, strict=True))
    return {Path(e["file_name"]).stem: semantic_labels({**e, **size}) for e in entries}


@pytest.mark.parametrize("name", [*twins.MAPS, "panoptic", "yolo"])
def test_label_maps_are_those_of_the_coco_twin(name: str, tmp_path: Path) -> None:
    """Of a system that classifies every pixel; where classes overlap in no image."""
    options = ("--unseen", "fork", "--val-share", "0.3", "--system", "lseg")
    ours, twin = (made(tmp_path, n, *options) for n in (name, "coco"))
    for subset in ("train", "val"):
        found, wanted = labels_of(ours, subset), labels_of(twin, subset)
        if name != "panoptic":  # whose images with an unseen segment are not trained on
            assert list(found) == list(wanted)
        assert found.keys() & wanted.keys()
        for stem in found.keys() & wanted.keys():
            assert np.array_equal(found[stem], wanted[stem])
    # The same predictions score the same against both.
    truth = labels_of(ours, "val"), labels_of(twin, "val")
    common = sorted(truth[0].keys() & truth[1].keys())
    shifted = {stem: np.roll(truth[1][stem], 3) % 3 for stem in common}
    split = load_split(twin / "classes.json")
    scores = [score_semantic({s: one[s] for s in common}, shifted, split) for one in truth]
    assert scores[0].groups == scores[1].groups
    assert 0 < scores[0].groups["unseen"]["mIoU"] < 100


def test_label_maps_and_panoptic(tmp_path: Path) -> None:
    from detectron2.data import DatasetCatalog

    maps = made(tmp_path, "maps", "--unseen", "fork", "--val-share", "0.3", "--system", "lseg")
    panoptic = made(tmp_path, "panoptic", "--unseen", "fork", "--val-share", "0.3")
    register_from_file(maps / "data.yaml")
    names = load_split(maps / "classes.json").names
    assert names == twins.NAMES
    entries = DatasetCatalog.get("maps_home_val")
    for entry in entries:
        place = int(Path(entry["file_name"]).stem.rpartition("_")[2])
        labels = semantic_labels({**entry, "height": twins.SIZE[0], "width": twins.SIZE[1]})
        for label, box in twins.BOXES[place]:
            assert (labels[twins.mask_of(box)] == label).all()
    register_from_file(panoptic / "data.yaml")
    split = load_split(panoptic / "classes.json")
    assert [info.isthing for info in split.classes] == [True, True, False]
    train = DatasetCatalog.get("panoptic_home_train")
    assert all(s["category_id"] != 1 for entry in train for s in entry["segments_info"])
    assert len(train) + len(DatasetCatalog.get("panoptic_home_val")) == twins.IMAGES


def test_instances_as_label_maps_for_a_system_of_pixels(tmp_path: Path) -> None:
    from detectron2.data import DatasetCatalog

    project = made(tmp_path, "coco", "--system", "lseg")
    assert yaml.safe_load((project / "project.yaml").read_text())["task"] == "semantic"
    register_from_file(project / "data.yaml")
    for entry in DatasetCatalog.get("coco_home_train"):
        labels = semantic_labels(entry)
        place = int(Path(entry["file_name"]).stem.rpartition("_")[2])
        for label, box in twins.BOXES[place]:
            assert (labels[twins.mask_of(box)] == label).all()


def test_the_division_follows_the_seed_and_unseen_images_are_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    divisions = []
    for number, seed in enumerate(("1", "1", "2")):
        folder = tmp_path / str(number)
        folder.mkdir()
        project = made(folder, "coco", "--val-share", "0.4", "--seed", seed)
        content = json.loads((project / "annotations" / "val.json").read_text())
        divisions.append([image["id"] for image in content["images"]])
    assert divisions[0] == divisions[1] != divisions[2]
    assert len(divisions[0]) == round(0.4 * twins.IMAGES)
    capsys.readouterr()
    (tmp_path / "unseen").mkdir()
    made(tmp_path / "unseen", "coco", "--unseen", "cup")
    out = capsys.readouterr().out
    shown = sum(any(label == 0 for label, _ in boxes) for boxes in twins.BOXES)
    assert f"cup *                -         -           -    {shown:>11}" in out
    assert (tmp_path / "unseen" / "coco_home" / "samples.png").is_file()


def test_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = twins.write_coco(tmp_path)
    content = twins.coco()
    content["categories"] += [{"id": 8, "name": "Cup"}, {"id": 9, "name": "yeti"}]
    (tmp_path / "train.json").write_text(json.dumps(content))
    from pading.vocabulary.class_vectors import ClassVectors

    names = tuple(c["name"] for c in content["categories"])
    vectors = np.eye(5, 8, dtype=np.float32)
    ClassVectors(names, vectors, "a test").save(tmp_path / "v.npz")
    options = ["--vectors", str(tmp_path / "v.npz"), "--unseen", "yeti"]
    new.main([str(tmp_path / "home"), *given, *options])
    out = capsys.readouterr().out
    assert "warning: seen, but nowhere in training: Cup" in out
    assert "warning: unseen, but in no image to score: yeti" in out
    assert "'cup' and 'Cup' nearly coincide" in out
    assert "warning: rare (fewer than 10 segments in training): cup" in out


def test_other_validation_annotations(tmp_path: Path) -> None:
    given = twins.write_coco(tmp_path)
    content = twins.coco()
    # The same names under other ids.
    content["categories"] = [{"id": 7 - c["id"], "name": c["name"]} for c in content["categories"]]
    for annotation in content["annotations"]:
        annotation["category_id"] = 7 - annotation["category_id"]
    (tmp_path / "val.json").write_text(json.dumps(content))
    options = ["--val", str(tmp_path / "val.json"), *twins.vectors(tmp_path)]
    new.main([str(tmp_path / "home"), *given, *options])
    assert masks_of(tmp_path / "home", "val") == masks_of(tmp_path / "home", "train")


def test_shapes_of_labelme_and_cvat(tmp_path: Path) -> None:
    import base64
    import io

    twins.photographs(tmp_path)
    png = io.BytesIO()
    Image.fromarray(np.full((5, 4), 255, np.uint8)).save(png, "PNG")
    shapes = [
        {"label": "box", "points": [[10, 8], [2, 4]], "shape_type": "rectangle"},
        {"label": "disc", "points": [[30, 20], [30, 26]], "shape_type": "circle"},
        {
            "label": "stain",
            "points": [[50, 10], [53, 14]],
            "shape_type": "mask",
            "mask": base64.b64encode(png.getvalue()).decode(),
        },
        {"label": "pair", "points": [[0, 30], [9, 30], [9, 40], [0, 40]], "group_id": 3},
        {"label": "pair", "points": [[20, 30], [29, 30], [29, 40], [20, 40]], "group_id": 3},
    ]
    content = {"imagePath": "photo_0.png", "shapes": shapes}
    (tmp_path / "photo_0.json").write_text(json.dumps(content))
    found = read_annotations(tmp_path / "photo_0.json")["train"]
    assert not found.faults
    areas = {c["name"]: c["id"] for c in found.content["categories"]}
    by_name = {
        name: [a for a in found.content["annotations"] if a["category_id"] == number]
        for name, number in areas.items()
    }
    assert {name: len(annotations) for name, annotations in by_name.items()} == dict.fromkeys(
        ("box", "disc", "stain", "pair"), 1
    )
    assert by_name["box"][0]["area"] == 8 * 4
    assert by_name["disc"][0]["area"] == pytest.approx(np.pi * 36, rel=0.05)
    assert by_name["stain"][0]["area"] == 5 * 4
    assert by_name["pair"][0]["area"] == 2 * 9 * 10
    (tmp_path / "annotations.xml").write_text(
        '<annotations><image name="photo_1.png" width="64" height="48">'
        '<mask label="m" left="3" top="2" width="3" height="2" rle="1,2,3"/>'
        '<box label="b" xtl="10" ytl="10" xbr="20" ybr="15"/></image></annotations>'
    )
    cvat = read_annotations(tmp_path / "annotations.xml", tmp_path)["train"]
    assert [a["area"] for a in cvat.content["annotations"]] == [2, 50]


def test_what_is_not_recognised_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"rows": []}')
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "a.json", tmp_path / "empty", tmp_path / "none.csv"):
        with pytest.raises(InputError, match=path.name):
            read_annotations(path, tmp_path)
