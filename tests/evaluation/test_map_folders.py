"""Which label maps of a folder are scored, and what their values are taken for."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pading.data.coco_formats import categories
from pading.data.map_manifest import MapManifest
from pading.errors import InputError
from pading.evaluation.map_folders import predicted_folder, truth_folder
from pading.vocabulary.splits import ClassInfo, ClassSplit


@pytest.fixture
def split() -> ClassSplit:
    """Ids that are other classes' places."""
    rows = ((1, "a"), (2, "b"), (3, "c"), (9, "d"))
    return ClassSplit("s", tuple(ClassInfo(i, name, True, name == "c") for i, name in rows))


def write(folder: Path, values: dict[str, list[int]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, row in values.items():
        Image.fromarray(np.array([row], np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 1, 2, 255], [0, 1, 2]), ([1, 9, 255], [0, 3])],
    ids=["0 is no id", "9 is no place"],
)
def test_values_tell_what_they_are(
    values: list[int], expected: list[int], split: ClassSplit, tmp_path: Path
) -> None:
    folder = write(tmp_path / "maps", {"0": [1, 2], "1": values})
    labels = truth_folder(folder, split, None)["1"]
    assert [v for v in np.unique(labels).tolist() if v not in (255, 65535)] == expected


def test_values_that_do_not_tell_are_asked_for(split: ClassSplit, tmp_path: Path) -> None:
    folder = write(tmp_path / "maps", {"0": [1, 2, 3]})
    with pytest.raises(InputError, match=r"maps: .*'a' or 'b'\); say which, with --ground-truth-v"):
        truth_folder(folder, split, None)
    assert truth_folder(folder, split, "places")["0"].tolist() == [[1, 2, 3]]
    assert truth_folder(folder, split, "class-ids")["0"].tolist() == [[0, 1, 2]]


def test_prepared_maps_say_it(split: ClassSplit, tmp_path: Path) -> None:
    folder = write(tmp_path / "maps", {"0": [1, 2, 3], "1": [0, 0, 0]})
    MapManifest(str(folder), (1, 2, 3, 9), {"train": {"0.png": "digest"}}).write()
    maps = truth_folder(folder, split, None)
    assert list(maps) == ["0"]
    assert maps["0"].tolist() == [[1, 2, 3]]
    turned = ClassSplit("turned", split.classes[::-1])
    with pytest.raises(InputError, match="maps: these label maps were prepared for other classes"):
        truth_folder(folder, turned, None)


def test_maps_of_an_earlier_run_are_left_out(split: ClassSplit, tmp_path: Path, caplog) -> None:
    folder = write(tmp_path / "semantic", {"000001": [9, 9], "000002": [1, 2], "old": [1, 1]})
    content = {
        "images": [{"id": i, "file_name": f"00000{i}.jpg"} for i in (1, 2)],
        "categories": categories(split),
    }
    beside = tmp_path / "semantic.json"
    beside.write_text(json.dumps(content))
    maps, named_by_file = predicted_folder(folder, split, class_ids=False)
    assert named_by_file
    assert {name: labels.tolist() for name, labels in maps.items()} == {
        "1": [[3, 3]],
        "2": [[0, 1]],
    }
    assert "1 of 3 label maps are not of the run" in caplog.text
    content["categories"][0]["name"] = "B"
    beside.write_text(json.dumps(content))
    with pytest.raises(InputError, match="semantic.json: category 1 is 'B', which is class 2"):
        predicted_folder(folder, split, class_ids=True)
