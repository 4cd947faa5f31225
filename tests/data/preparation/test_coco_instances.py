import json

import pytest

from pading.data.preparation.coco_instances import main as prepare
from pading.errors import InputError

SPLITS = ("coco_instance_48_17", "coco_instance_65_15")


@pytest.fixture
def write(tmp_path):
    """Write an annotation file of (image id, category id) pairs; image 7 has no instance."""
    names = {3: "cup", 9: "fork", 5: "spoon", 20: "table", 21: "floor", 33: "lamp"}

    def write(name, pairs):
        content = {
            "info": "mini",
            "images": [{"id": i} for i in sorted({image for image, _ in pairs} | {7})],
            "annotations": [
                {"id": n, "image_id": i, "category_id": c} for n, (i, c) in enumerate(pairs)
            ],
            "categories": [{"id": i, "name": names[i]} for i in sorted(names)],
        }
        (tmp_path / name).write_text(json.dumps(content))

    return write


def _arguments(root, split_file):
    files = ("--train", "train.json", "--val", "val.json")
    return ["--root", str(root), "--splits", str(split_file), *files]


def _read(path):
    content = json.loads(path.read_text())
    pairs = [(a["image_id"], a["category_id"]) for a in content["annotations"]]
    return pairs, [i["id"] for i in content["images"]], [c["id"] for c in content["categories"]]


def test_files(tmp_path, split_file, write, capsys):
    write("train.json", [(1, 3), (1, 5), (2, 9), (3, 33), (4, 3), (4, 33)])
    write("val.json", [(1, 3), (1, 5), (2, 9), (3, 33), (4, 21)])
    prepare(_arguments(tmp_path, split_file))
    assert _read(tmp_path / "train_kitchen_seen.json") == ([(2, 9), (4, 3)], [2, 4], [3, 9, 20])
    assert _read(tmp_path / "val_kitchen_gzsi.json") == (
        [(1, 3), (1, 5), (2, 9), (4, 21)],
        [1, 2, 4],
        [3, 9, 5, 20, 21],
    )
    assert _read(tmp_path / "val_kitchen_zsi.json") == ([(1, 5), (4, 21)], [1, 4], [5, 21])
    table = capsys.readouterr().out.splitlines()
    counts = next(line for line in table if "instances of unseen" in line)
    assert [cell.strip() for cell in counts.split("|")[2:-1]] == ["0", "2", "2"]

    prepare([*_arguments(tmp_path, split_file), "--keep-images"])
    assert _read(tmp_path / "train_kitchen_seen.json")[1] == [1, 2, 4]


def test_interrupted_and_run_again(tmp_path, split_file, write):
    write("train.json", [(2, 9)])
    (tmp_path / "val.json").write_text('{"images": [')
    with pytest.raises(InputError, match="val.json: not a JSON file"):
        prepare(_arguments(tmp_path, split_file))
    write("val.json", [(1, 5)])
    prepare(_arguments(tmp_path, split_file))
    made = sorted(p.name for p in tmp_path.glob("*_kitchen_*"))
    assert made == ["train_kitchen_seen.json", "val_kitchen_gzsi.json", "val_kitchen_zsi.json"]


def test_annotations_of_other_classes_are_refused(tmp_path, split_file, write):
    write("train.json", [(1, 3)])
    content = json.loads((tmp_path / "train.json").read_text())
    content["categories"][1]["name"] = "knife"
    (tmp_path / "train.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="train.json: category 5 is 'knife', but 'spoon' in"):
        prepare(_arguments(tmp_path, split_file))


def test_real_annotations_give_the_recorded_protocol(shared, tmp_path):
    name = "instances_val2017.json"
    (tmp_path / name).symlink_to(shared / "data" / "tiny_coco" / "annotations" / name)
    prepare(["--root", str(tmp_path), "--subsets", "val", "--val", name])
    for split in SPLITS:
        for kind in ("gzsi", "zsi"):
            made = json.loads((tmp_path / f"instances_val2017_{split}_{kind}.json").read_text())
            recorded = json.loads(
                (
                    shared / "golden" / "evaluation" / f"instances_val_{split}_{kind}.json"
                ).read_text()
            )
            assert made["images"] == recorded["images"]
            assert made["annotations"] == recorded["annotations"]
            assert [c["id"] for c in made["categories"]] == [
                c["id"] for c in recorded["categories"]
            ]
