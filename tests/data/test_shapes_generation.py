"""pading.data.shapes.generation: the files, their agreement, interruption and bad input."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from panopticapi.utils import rgb2id
from PIL import Image
from pycocotools.coco import COCO

from pading.data.shapes import generation as shapes
from pading.data.shapes.generation import MANIFEST, ShapesSettings, generate
from pading.errors import InputError
from pading.vocabulary.splits import ClassInfo, ClassSplit, load_split

SPLIT = load_split("shapes")
SMALL = ShapesSettings(train=12, val=8, size=64)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shapes") / "data" / "shapes"
    assert generate(path, SPLIT, SMALL)
    return path


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def _panoptic(root: Path, subset: str) -> dict:
    return json.loads((root / "annotations" / f"panoptic_{subset}.json").read_text())


def test_split_holds_out_combinations_of_seen_parts() -> None:
    seen = {word for label in SPLIT.seen for word in SPLIT.names[label].split()}
    unseen = [SPLIT.names[label].split() for label in SPLIT.unseen]
    assert len(SPLIT.things) == 36 and len(SPLIT.stuff) == 6 and len(unseen) == 6
    for part in (0, 1):
        words = [name[part] for name in unseen]
        assert len(set(words)) == 6 and set(words) <= seen


def test_layout(root: Path) -> None:
    files = _files(root)
    assert len(files) == 2 * (SMALL.train + SMALL.val) + 4 + 1
    assert {path.split("/")[0] for path in files} == {
        "train", "val", "panoptic_train", "panoptic_val", "annotations", MANIFEST,
    }  # fmt: skip
    assert not list(root.parent.glob(".*"))


@pytest.mark.parametrize("subset", shapes.SUBSETS)
def test_panoptic_json_describes_the_pngs(root: Path, subset: str) -> None:
    content = _panoptic(root, subset)
    assert len(content["images"]) == getattr(SMALL, subset)
    categories = {entry["id"]: entry for entry in content["categories"]}
    assert [entry["name"] for entry in content["categories"]] == list(SPLIT.names)
    assert all(categories[info.id]["isthing"] == info.isthing for info in SPLIT.classes)
    for image, annotation in zip(content["images"], content["annotations"], strict=True):
        assert annotation["image_id"] == image["id"]
        picture = np.asarray(Image.open(root / subset / image["file_name"]))
        assert picture.shape == (image["height"], image["width"], 3) == (64, 64, 3)
        png = np.asarray(Image.open(root / f"panoptic_{subset}" / annotation["file_name"]))
        ids = rgb2id(png)
        infos = {info["id"]: info for info in annotation["segments_info"]}
        assert set(np.unique(ids)) == set(infos) and 0 not in infos
        for info in infos.values():
            mask = ids == info["id"]
            ys, xs = np.nonzero(mask)
            assert info["area"] == mask.sum() and info["iscrowd"] == 0
            assert info["bbox"] == [
                xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1,
            ]  # fmt: skip


@pytest.mark.parametrize("subset", shapes.SUBSETS)
def test_instance_json_holds_the_same_things(root: Path, subset: str) -> None:
    coco = COCO(str(root / "annotations" / f"instances_{subset}.json"))
    assert [entry["name"] for entry in coco.dataset["categories"]] == [
        SPLIT.names[label] for label in SPLIT.things
    ]
    assert len(coco.anns) == len(coco.dataset["annotations"])
    things = {SPLIT.classes[label].id for label in SPLIT.things}
    for annotation in _panoptic(root, subset)["annotations"]:
        ids = rgb2id(np.asarray(Image.open(root / f"panoptic_{subset}" / annotation["file_name"])))
        infos = [info for info in annotation["segments_info"] if info["category_id"] in things]
        found = coco.loadAnns(coco.getAnnIds(annotation["image_id"]))
        assert len(found) == len(infos)
        for entry, info in zip(found, infos, strict=True):
            assert entry["category_id"] == info["category_id"]
            assert (coco.annToMask(entry) == (ids == info["id"])).all()


def test_training_scenes_hold_no_unseen_segment(tmp_path: Path, seed: int) -> None:
    generate(tmp_path / "s", SPLIT, ShapesSettings(seed=seed, train=60, val=200, size=64))
    unseen = {SPLIT.classes[label].id for label in SPLIT.unseen}

    def occurring(subset: str) -> set[int]:
        annotations = _panoptic(tmp_path / "s", subset)["annotations"]
        return {info["category_id"] for a in annotations for info in a["segments_info"]}

    assert not occurring("train") & unseen
    assert occurring("val") == {info.id for info in SPLIT.classes}


def test_same_bytes_from_the_same_seed_only(root: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", SPLIT, SMALL, workers=1)
    assert _files(tmp_path / "again") == _files(root)
    generate(tmp_path / "other", SPLIT, replace(SMALL, seed=1))
    same = [path for path, data in _files(tmp_path / "other").items() if _files(root)[path] == data]
    assert same == []


def test_done_once(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert not generate(root, SPLIT, SMALL)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_other_settings_need_overwrite(tmp_path: Path) -> None:
    root = tmp_path / "s"
    generate(root, SPLIT, SMALL)
    other = replace(SMALL, train=2, seed=5)
    with pytest.raises(InputError, match=r"of another seed, train;.*overwrite"):
        generate(root, SPLIT, other)
    assert not generate(root, SPLIT, SMALL)
    assert generate(root, SPLIT, other, overwrite=True)
    assert len(list((root / "train").iterdir())) == 2
    assert list(tmp_path.iterdir()) == [root]


def test_an_interrupted_run_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopError(Exception):
        pass

    def interrupted(path: Path, content: dict) -> None:
        if path.name == MANIFEST:
            raise StopError

    root = tmp_path / "s"
    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(shapes, "_dump", interrupted)
        generate(root, SPLIT, SMALL)
    assert list(tmp_path.iterdir()) == []
    generate(root, SPLIT, SMALL)
    before = _files(root)
    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(shapes, "_dump", interrupted)
        generate(root, SPLIT, replace(SMALL, seed=3), overwrite=True)
    assert _files(root) == before


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(InputError, match="photographs.*no finished Shapes data set"):
        generate(photographs, SPLIT, SMALL, overwrite=True)
    (photographs / MANIFEST).write_text('{"name": "my web site"}')
    with pytest.raises(InputError, match="not written by Shapes"):
        generate(photographs, SPLIT, SMALL, overwrite=True)
    assert (photographs / "cat.jpg").read_bytes() == b"cat"


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    assert generate(tmp_path, SPLIT, SMALL)


def test_root_under_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/s.*cannot make"):
        generate(tmp_path / "file" / "s", SPLIT, SMALL)


def test_further_combinations_can_be_held_out(tmp_path: Path) -> None:
    more = ("blue circle", "white star", "green stripes")
    split = ClassSplit(
        "more",
        tuple(replace(info, unseen=info.unseen or info.name in more) for info in SPLIT.classes),
    )
    assert split.num_unseen == 9
    generate(tmp_path / "s", split, replace(SMALL, train=40))
    ids = {split.classes[label].id for label in split.unseen}
    for annotation in _panoptic(tmp_path / "s", "train")["annotations"]:
        assert not ids & {info["category_id"] for info in annotation["segments_info"]}
    with pytest.raises(InputError, match="another split, classes"):
        generate(tmp_path / "s", SPLIT, replace(SMALL, train=40))


@pytest.mark.parametrize(("key", "value"), [("train", 0), ("val", -1), ("size", 16), ("seed", -1)])
def test_settings_out_of_range(key: str, value: int) -> None:
    with pytest.raises(InputError, match=f"{key} is {value}"):
        ShapesSettings(**{key: value})


def test_too_few_classes(tmp_path: Path) -> None:
    split = ClassSplit("tiny", (ClassInfo(1, "red star", True, False),))
    with pytest.raises(InputError, match=r"'tiny'.*finds 1 and 0"):
        generate(tmp_path / "s", split, SMALL)
    assert list(tmp_path.iterdir()) == []
