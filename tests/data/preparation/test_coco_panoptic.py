import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pading.data.ground_truth import load_semantic
from pading.data.preparation.coco_panoptic import main as prepare
from pading.data.spec import DatasetSpec
from pading.errors import InputError, exit_on_input_error


def _arguments(train, val, split_file):
    layout = ["panoptic.json", "images", "labels"]
    return [
        *("--root", str(train.root.parent), "--split", str(split_file), "--workers", "1"),
        *("--train", *(f"{train.root.name}/{part}" for part in layout)),
        *("--val", *(f"{val.root.name}/{part}" for part in layout)),
    ]


def _maps(mini):
    folder = mini.root / "labels_kitchen_semantic"
    return {p.name: np.asarray(Image.open(p)) for p in sorted(folder.iterdir())}


def test_seen_only_file_and_maps(make_panoptic, split_file, capsys):
    train = make_panoptic([[3, 20], [9, 5], [], [21], [9, 3]], "train")
    val = make_panoptic([[5, 9, 21], [3]], "val")
    prepare(_arguments(train, val, split_file))

    seen = json.loads((train.root / "panoptic_kitchen_seen.json").read_text())
    assert [image["id"] for image in seen["images"]] == [0, 2, 4]
    assert [a["image_id"] for a in seen["annotations"]] == [0, 2, 4]
    assert seen["categories"] == train.content["categories"]

    assert list(_maps(train)) == ["0.png", "2.png", "4.png"]
    maps = _maps(val)
    assert list(maps) == ["0.png", "1.png"]
    colours = np.asarray(Image.open(val.root / "labels" / "0.png")).astype(int)
    ids = colours @ [1, 256, 65536]
    segments = val.content["annotations"][0]["segments_info"]
    for segment, label in zip(segments, [2, 1, 4], strict=True):
        assert (maps["0.png"][ids == segment["id"]] == label).all()

    table = capsys.readouterr().out
    for row in ("images .* 5 .* 2", "images kept .* 3 .* 2", "unseen classes .* 2 .* 2"):
        assert any(re.search(row, line) for line in table.splitlines())


def test_unlabelled_pixels_are_ignored(make_panoptic, split_file):
    train, val = make_panoptic([[3]], "train"), make_panoptic([[3, 9]], "val")
    val.rewrite(lambda c: c["annotations"][0]["segments_info"].pop())
    prepare(_arguments(train, val, split_file))
    assert set(np.unique(_maps(val)["0.png"])) == {0, 255}


def test_interrupted_and_run_again(make_panoptic, split_file):
    train, val = make_panoptic([[3], [9], [20]], "train"), make_panoptic([[3]], "val")
    good = (train.root / "labels" / "1.png").read_bytes()
    (train.root / "labels" / "1.png").write_bytes(good[:50])
    with pytest.raises(InputError, match="labels/1.png: cannot read this image"):
        prepare(_arguments(train, val, split_file))
    assert list(_maps(train)) == ["0.png"]
    first = train.root / "labels_kitchen_semantic" / "0.png"
    made_at = first.stat().st_mtime_ns

    (train.root / "labels" / "1.png").write_bytes(good)
    prepare(_arguments(train, val, split_file))
    assert list(_maps(train)) == ["0.png", "1.png", "2.png"]
    assert first.stat().st_mtime_ns == made_at

    # A finished map that was damaged since is made anew.
    first.write_bytes(first.read_bytes()[:40])
    prepare(_arguments(train, val, split_file))
    assert (_maps(train)["0.png"] == 0).all()


def test_several_workers_give_the_same(make_panoptic, split_file):
    train, val = make_panoptic([[3], [9]], "train"), make_panoptic([[3, 5], [9]], "val")
    prepare([*_arguments(train, val, split_file), "--workers", "2"])
    assert list(_maps(train)) == list(_maps(val)) == ["0.png", "1.png"]


def test_bad_input_is_told_without_a_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["pading prepare coco_panoptic", "--root", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        exit_on_input_error(prepare)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(
        f"error: {tmp_path}/annotations/panoptic_train2017.json: there is no such file"
    )


def test_two_folders_with_files_of_one_name(make_panoptic, split_file):
    train, val = make_panoptic([[3, 20], [9, 20], [21]], "train"), make_panoptic([[3]], "val")
    for number, sub in ((0, "a"), (1, "b")):
        for folder in ("images", "labels"):
            (train.root / folder / sub).mkdir()
            (train.root / folder / f"{number}.png").rename(train.root / folder / sub / "0.png")
    train.rewrite(
        lambda c: [
            entry.update(file_name=f"{'ab'[n]}/0.png")
            for key in ("images", "annotations")
            for n, entry in enumerate(c[key][:2])
        ]
    )
    prepare(_arguments(train, val, split_file))
    folder = train.root / "labels_kitchen_semantic"
    made = {
        str(p.relative_to(folder)): set(np.unique(Image.open(p))) for p in folder.rglob("*.png")
    }
    assert made == {"a/0.png": {0, 3}, "b/0.png": {1, 3}}


@pytest.mark.parametrize("what", ["split", "annotations", "PNG"])
def test_what_maps_were_made_from_has_changed(what, make_panoptic, split_file):
    train, val = make_panoptic([[3], [3], [9]], "train"), make_panoptic([[3]], "val")
    prepare(_arguments(train, val, split_file))
    before = {p.name: p.stat().st_mtime_ns for p in _files(train)}
    if what == "split":
        content = json.loads(split_file.read_text())
        content["classes"].reverse()
        split_file.write_text(json.dumps(content))
        expected = {"0.png": {4}, "1.png": {4}, "2.png": {3}}
    elif what == "annotations":
        train.rewrite(lambda c: c["annotations"][0]["segments_info"][0].update(category_id=9))
        expected = {"0.png": {1}, "1.png": {0}, "2.png": {1}}
    else:
        blank = np.array(Image.open(train.root / "labels" / "0.png"))
        blank[:5] = 0
        Image.fromarray(blank).save(train.root / "labels" / "0.png")
        expected = {"0.png": {0, 255}, "1.png": {0}, "2.png": {1}}
    prepare(_arguments(train, val, split_file))
    assert {name: set(np.unique(values)) for name, values in _maps(train).items()} == expected
    kept = [p.name for p in _files(train) if p.stat().st_mtime_ns == before[p.name]]
    assert kept == ([] if what == "split" else ["1.png", "2.png"])


def test_maps_of_images_that_are_gone_are_removed(make_panoptic, split_file):
    train, val = make_panoptic([[3], [9]], "train"), make_panoptic([[3]], "val")
    prepare(_arguments(train, val, split_file))
    train.rewrite(lambda c: c["annotations"].pop())
    prepare(_arguments(train, val, split_file))
    assert list(_maps(train)) == ["0.png"]


def test_two_subsets_in_one_folder(make_panoptic, split_file):
    mini = make_panoptic([[3], [9]], "both")
    first, second = dict(mini.content), dict(mini.content)
    for number, content in enumerate((first, second)):
        content["annotations"] = content["annotations"][number : number + 1]
        (mini.root / f"{number}.json").write_text(json.dumps(content))
    arguments = _arguments(mini, mini, split_file)
    arguments[arguments.index("both/panoptic.json")] = "both/0.json"
    arguments[arguments.index("both/panoptic.json")] = "both/1.json"
    for _ in range(2):
        prepare(arguments)
        assert list(_maps(mini)) == ["0.png", "1.png"]


def test_maps_of_another_split_are_not_trained_on(make_panoptic, split_file):
    train, val = make_panoptic([[3], [9]], "train"), make_panoptic([[3]], "val")
    prepare(_arguments(train, val, split_file))
    labels = "labels_kitchen_semantic"
    files = DatasetSpec("k", "semantic", str(split_file), "images", labels=labels)
    spec = replace(files, contiguous_labels=True).under(train.root)
    split = train.split
    assert len(load_semantic(spec, split)) == 2
    turned = replace(split, classes=split.classes[::-1])
    with pytest.raises(InputError, match="were prepared for other classes than the split"):
        load_semantic(spec, turned)
    shutil.copy(train.root / labels / "0.png", train.root / labels / "2.png")
    shutil.copy(train.root / "images" / "0.png", train.root / "images" / "2.png")
    with pytest.raises(InputError, match=r"2\.png: is not of the preparation that made the other"):
        load_semantic(spec, split)


def _files(mini):
    return sorted((mini.root / "labels_kitchen_semantic").iterdir())
