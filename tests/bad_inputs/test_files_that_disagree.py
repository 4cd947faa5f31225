"""Two files that must agree are compared before any long work, or one follows from the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pading.commands import check_data
from pading.data.ground_truth import load_semantic
from pading.data.masks import semantic_labels
from pading.data.spec import DatasetSpec
from pading.errors import InputError
from pading.evaluation.pixel_scores import folder_labels
from pading.vocabulary.splits import load_split
from tests import runs
from tests.bad_inputs.rows import Row, check_refusal, table, train
from tests.bad_inputs.world import SIZE, World, rle


def _categories(change: Callable[[dict[int, dict[str, Any]]], object]) -> Callable[[World], None]:
    """Change the categories, by id, of all annotation files."""

    def spoil(world: World) -> None:
        for name in ("panoptic", "panoptic_val", "instances", "instances_val"):
            world.edit(
                f"{name}.json", lambda content: change({c["id"]: c for c in content["categories"]})
            )

    return spoil


def _with_instances(change: Callable[[dict[str, Any]], object]) -> Callable[[World], None]:
    """Have the panoptic validation set score instances, against a changed file."""

    def spoil(world: World) -> None:
        world.edit("instances_val.json", change)
        world.edit("data.yaml", lambda rows: rows[1].update(instances="instances_val.json"))

    return spoil


def _other_image(content: dict[str, Any]) -> None:
    image = {**content["images"][0], "id": 7, "file_name": "1.jpg"}
    content["images"].append(image)


def _shifted(content: dict[str, Any]) -> None:
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = 3


_BOTH = train("MODEL.INFERENCE.INSTANCE_ON", "True")

ROWS = [
    Row(
        "name of another class in capitals",
        _categories(lambda by_id: by_id[3].update(name="FORK")),
        "panoptic.json: category 3 is 'FORK', which is class 9",
        "take the split that these annotations were made for",
    ),
    Row(
        "name of another class with underscores",
        _categories(lambda by_id: by_id[21].update(name=" Table_")),
        "category 21 is ' Table_', which is class 20",
        "take the split",
        train(task="instance"),
    ),
    Row(
        "stuff as a thing",
        _categories(lambda by_id: by_id[20].update(isthing=1)),
        "category 20, 'table', has isthing 1, but False",
        "correct one of the two",
    ),
    Row(
        "categories as mapping",
        lambda world: world.edit("panoptic_val.json", lambda c: c.update(categories={})),
        "panoptic_val.json: 'categories' must be list",
        "must be list",
    ),
    Row(
        "image of another name in the instance file",
        _with_instances(lambda c: c["images"][0].update(file_name="1.jpg")),
        "instances_val.json: image 2 is",
        "give the two files the same ids",
        _BOTH,
    ),
    Row(
        "image ids of another file",
        _with_instances(_shifted),
        "instances_val.json: has no image 2",
        "list the same in both",
        _BOTH,
    ),
    Row(
        "images of a larger set in the instance file",
        _with_instances(_other_image),
        "panoptic_val.json: has no image 7",
        "list the same in both",
        _BOTH,
    ),
    Row(
        "broken mask in the instance file",
        _with_instances(lambda c: c["annotations"][0].update(segmentation=rle(np.ones((3, 3))))),
        "instances_val.json: annotation 3: the mask's size is",
        "of the size of the image",
        _BOTH,
    ),
]


@table(ROWS)
def test_refused_before_training(
    row: Row, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    check_refusal(row, world, capsys)


@pytest.fixture
def report(world: World, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What check-data prints of a good world's data sets."""

    def run(*names: str) -> str:
        with pytest.raises(SystemExit) as ended:
            runs.run(
                check_data.main,
                *("--files", world.path("data.yaml"), "--output", world.root, "--samples", 0),
                *("--names", *names),
            )
        assert ended.value.code == 0
        return capsys.readouterr().out

    return run


def test_declared_values_are_found_out(world: World, report: Callable[..., str]) -> None:
    assert "note: declared" not in report("panoptic_train", "instance_train")
    segment = ("annotations", 0, "segments_info", 0)
    world.edit("panoptic.json", lambda c: _at(c, segment).update(area="660"))
    world.edit("instances.json", lambda c: c["annotations"][1].update(bbox=[0, 0, 9, 9], area=7))
    found = report("panoptic_train", "instance_train")
    pixels = SIZE[1] * 20
    assert f"segment 3: the area is '660', but its mask has {pixels} pixels" in found
    assert f"annotation 2: the area is 7, but its mask has {pixels} pixels" in found
    assert "annotation 2: the bbox is [0, 0, 9, 9], but that of its mask is [0.0, 0.0," in found


def _at(content: Any, keys: tuple[Any, ...]) -> Any:
    for key in keys:
        content = content[key]
    return content


def test_other_names_are_noted(world: World, report: Callable[..., str]) -> None:
    _categories(lambda by_id: (by_id[3].update(name="mug"), by_id[9].update(name="Fork")))(world)
    found = report("panoptic_train")
    assert "panoptic.json: category 3 is 'mug', but 'cup' in the class split 'kitchen'\n" in found
    assert "category 9 is 'Fork', but 'fork' in the class split 'kitchen' (alike but for" in found


@pytest.fixture
def split_with_255(world: World) -> Path:
    """The table's id is 255."""
    world.edit("split.json", lambda content: content["classes"][3].update(id=255))
    return world.path("split.json")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_class_of_id_255(kind: type, world: World, split_with_255: Path) -> None:
    split = load_split(split_with_255)
    spec = DatasetSpec("k", "semantic", "split.json", "images", labels="maps").under(world.root)
    for number in (0, 1):
        values = np.full(SIZE, (0, 255)[number], kind)
        values[:4] = 3
        Image.fromarray(values).save(world.path(f"maps/{number}.png"))
    entry = load_semantic(spec, split)[1] | dict(zip(("height", "width"), SIZE, strict=True))
    maps = folder_labels(world.path("maps"), split)
    if kind is np.uint16:
        assert np.unique(semantic_labels(entry)).tolist() == [0, 3]
        assert np.unique(maps["1"]).tolist() == [0, 3]
        return
    for read in (lambda: semantic_labels(entry), lambda: maps["1"]):
        with pytest.raises(InputError, match=r"1\.png: in label maps of 8 bits 255 is ignored"):
            read()
