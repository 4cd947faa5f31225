import numpy as np
import pytest
from PIL import Image

from pading.data.preparation.coco_stuff import main as prepare
from pading.errors import InputError

HEIGHT, WIDTH = 12, 30


@pytest.fixture
def root(tmp_path):
    """COCO-Stuff's layout with two images each, whose maps have stripes of all five class ids."""
    values = np.repeat([3, 9, 5, 20, 21, 255], 5).astype(np.uint8)[None].repeat(HEIGHT, axis=0)
    for subset in ("train", "val"):
        images, labels = (tmp_path / folder / f"{subset}2017" for folder in ("", "stuffthingmaps"))
        for folder, suffix, content in (
            (images, "jpg", np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)),
            (labels, "png", values),
        ):
            folder.mkdir(parents=True)
            for name in "ab":
                Image.fromarray(content).save(folder / f"{name}.{suffix}")
    return tmp_path


def _arguments(root, split_file):
    return ["--root", str(root), "--split", str(split_file), "--workers", "1"]


def _first_row(path):
    return np.asarray(Image.open(path))[0, ::5].tolist()


def test_maps_and_counts(root, split_file, capsys):
    prepare(_arguments(root, split_file))
    made = root / "stuffthingmaps"
    for name in ("a.png", "b.png"):
        assert _first_row(made / "train2017_kitchen_seen" / name) == [0, 1, 255, 3, 255, 255]
        assert _first_row(made / "val2017_kitchen" / name) == [0, 1, 2, 3, 4, 255]
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    assert ["images", "2", "2"] in rows
    assert ["segments of seen classes", "6", "6"] in rows
    assert ["segments of unseen classes", "0", "4"] in rows


def test_interrupted_and_run_again(root, split_file):
    broken = root / "stuffthingmaps" / "train2017" / "b.png"
    good = broken.read_bytes()
    broken.write_bytes(good[:50])
    with pytest.raises(InputError, match=r"train2017/b.png: cannot read this image"):
        prepare(_arguments(root, split_file))
    first = root / "stuffthingmaps" / "train2017_kitchen_seen" / "a.png"
    made_at = first.stat().st_mtime_ns
    broken.write_bytes(good)
    prepare(_arguments(root, split_file))
    assert first.stat().st_mtime_ns == made_at
    assert sorted(p.name for p in first.parent.iterdir()) == ["a.png", "b.png"]


def test_value_outside_the_split(root, split_file):
    Image.new("L", (WIDTH, HEIGHT), 77).save(root / "stuffthingmaps" / "val2017" / "a.png")
    with pytest.raises(InputError, match=r"val2017/a.png: the value 77 belongs to no class"):
        prepare(_arguments(root, split_file))


def test_no_workers_are_this_process(root, split_file):
    prepare([*_arguments(root, split_file)[:-1], "0"])
    assert len(list((root / "stuffthingmaps" / "val2017_kitchen").iterdir())) == 2
    with pytest.raises(SystemExit):
        prepare([*_arguments(root, split_file)[:-1], "-1"])
