"""Every fault of a data set is found, not just the first."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pading.data.catalogue import register
from pading.data.spec import DatasetSpec
from pading.data.survey import Survey, survey
from pading.errors import InputError


@pytest.fixture
def walk() -> Iterator[Callable[[DatasetSpec], Survey]]:
    """Registers a data set and walks through it."""
    names = []

    def run(spec: DatasetSpec) -> Survey:
        register(spec)
        names.append(spec.name)
        return survey(spec.name)

    yield run
    for name in set(names):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def counts(groups: dict[str, list[str]]) -> dict[str, int]:
    return {heading: len(messages) for heading, messages in groups.items()}


def test_good_panoptic_set(make_panoptic, walk) -> None:
    found = walk(make_panoptic([[3, 9], [5, 20], [21]]).spec)
    assert not found.errors
    assert not found.notes
    assert [e["image_id"] for e in found.entries] == [0, 1, 2]
    assert dict(found.segments) == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1}


def test_all_that_is_wrong_with_a_panoptic_set(make_panoptic, walk) -> None:
    mini = make_panoptic([[3, 9]] * 8)
    annotations = mini.content["annotations"]

    def change(content: dict[str, Any]) -> None:
        content["annotations"][1]["segments_info"][0]["category_id"] = 77
        content["annotations"][2]["segments_info"][0]["category_id"] = 78
        content["annotations"][3]["segments_info"][0]["id"] += 1  # neither painted nor listed

    mini.rewrite(change)
    (mini.root / "images" / "4.png").unlink()
    (mini.root / "labels" / "5.png").unlink()
    for folder, name in (("images", "6.png"), ("labels", "7.png")):
        path = mini.root / folder / name
        path.write_bytes(path.read_bytes()[:60])
    found = walk(mini.spec)
    assert counts(found.errors) == {
        "missing": 2,
        "corrupt": 2,
        "outside the split": 2,
        "empty": 1,
        "inconsistent": 1,
    }
    for kind, names in {
        "missing": ("images/4.png", "labels/5.png"),
        "corrupt": ("images/6.png", "labels/7.png"),
        "outside the split": ("image 1: segment", "image 2: segment"),
        "empty": ("labels/3.png: the segment",),
        "inconsistent": ("labels/3.png: the segment",),
    }.items():
        for name, message in zip(names, found.errors[kind], strict=True):
            assert name in message
    assert [e["image_id"] for e in found.entries] == [0]
    assert "has no pixel" in found.errors["empty"][0]
    assert len(annotations) == 8


def test_unseen_classes_in_training(make_panoptic, walk) -> None:
    mini = make_panoptic([[3], [5], [21, 3], []])
    found = walk(replace(mini.spec, seen_only=True))
    assert counts(found.errors) == {"outside the split": 2}
    assert found.notes["classes that never occur"] == ["fork", "table"]
    assert "3.png: no annotated pixel" in found.notes["empty"][0]


def test_nothing_to_read(make_panoptic, walk) -> None:
    mini = make_panoptic([[3]])
    Path(mini.spec.annotations).write_text("{")
    found = walk(mini.spec)
    assert counts(found.errors) == {"corrupt": 1}
    assert not found.entries
    found = walk(replace(mini.spec, images=str(mini.root / "nowhere")))
    assert counts(found.errors) == {"missing": 1}
    mini.rewrite(lambda content: content["annotations"].clear())
    assert counts(walk(mini.spec).errors) == {"empty": 1}


def test_instances(make_panoptic, walk) -> None:
    mini = make_panoptic([[3], [3], [3]])
    path = mini.root / "instances.json"
    size = [[i["height"], i["width"]] for i in mini.content["images"]]
    masks = [
        (0, [[2, 2, 12, 2, 12, 12]]),
        (0, {"size": size[0], "counts": "broken"}),
        (1, {"size": size[1], "counts": [size[1][0] * size[1][1]]}),
        (1, {"size": [1, 1], "counts": [1]}),
    ]
    annotations = [
        {"id": number, "image_id": image, "category_id": 3, "iscrowd": 0, "segmentation": mask}
        for number, (image, mask) in enumerate(masks)
    ]
    path.write_text(json.dumps({"images": mini.content["images"], "annotations": annotations}))
    spec = replace(mini.spec, task="instance", annotations=str(path), labels="")
    found = walk(spec)
    assert counts(found.errors) == {"corrupt": 1, "empty": 1, "inconsistent": 1}
    assert "annotation 1: broken RLE" in found.errors["corrupt"][0]
    assert "annotation 2: the mask is empty" in found.errors["empty"][0]
    assert [Path(message.split(": ")[0]).name for message in found.notes["empty"]] == [
        "1.png",
        "2.png",
    ]
    assert found.notes["classes that never occur"] == ["fork", "spoon"]  # stuff is no instance
    # The same file beside panoptic annotations is checked too.
    assert counts(walk(replace(mini.spec, instances=str(path))).errors) == counts(found.errors)


def test_label_maps(make_panoptic, walk) -> None:
    mini = make_panoptic([[3]] * 4)
    labels = mini.root / "maps"
    labels.mkdir()
    for number, value in ((0, 3), (1, 77), (2, 255)):
        image = mini.content["images"][number]
        pixels = np.full((image["height"], image["width"]), value, dtype=np.uint8)
        Image.fromarray(pixels).save(labels / f"{number}.png")
    spec = replace(mini.spec, task="semantic", annotations="", labels=str(labels))
    found = walk(spec)
    assert counts(found.errors) == {"outside the split": 1}
    assert "1.png: the value 77" in found.errors["outside the split"][0]
    assert found.notes["images without a label map"] == ["3.png"]
    assert "2.png: no annotated pixel" in found.notes["empty"][0]
    assert dict(found.segments) == {0: 1}


def test_unknown_name() -> None:
    with pytest.raises(InputError, match="there is no data set 'nowhere'"):
        survey("nowhere")
