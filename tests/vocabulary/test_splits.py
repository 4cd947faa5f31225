import json
import subprocess
import sys
from pathlib import Path

import pytest

from pading.errors import InputError
from pading.vocabulary.splits import ClassInfo, ClassSplit, load_split, shipped_splits

COUNTS = {  # all, seen, unseen, things
    "coco_panoptic_119_14": (133, 119, 14, 80),
    "coco_instance_48_17": (65, 48, 17, 65),
    "coco_instance_65_15": (80, 65, 15, 80),
    "coco_stuff_156_15": (171, 156, 15, 80),
    "shapes": (42, 36, 6, 36),
    "pascal_voc_15_5": (20, 15, 5, 20),
    "pascal_context_49_10": (59, 49, 10, 20),
    "pascal_context_59": (59, 59, 0, 20),
    "ade20k_150": (150, 150, 0, 0),
    "cityscapes_19": (19, 19, 0, 8),
    "coco_stuff_171": (171, 171, 0, 80),
    "camvid_9_2": (11, 9, 2, 5),
    "msrc_17_4": (21, 17, 4, 14),
    **{f"msrc_fold_{n}": (21, 17, 4, 14) for n in (1, 2, 3)},
    "msrc_fold_4": (21, 16, 5, 14),
}
_FILES = {"pascal_voc_15_5": "class_splits_voc", "pascal_context_49_10": "class_splits_context"}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_shipped_counts(name):
    split = load_split(name)
    assert split.name == name
    counts = split.num_classes, split.num_seen, split.num_unseen, len(split.things)
    assert counts == COUNTS[name]


def test_every_shipped_split_is_counted_above():
    assert set(shipped_splits()) == set(COUNTS)


@pytest.mark.parametrize("name", [*COUNTS][:4] + [*_FILES])
def test_shipped_order_is_the_published_one(name, shared):
    path = shared / "data" / f"{_FILES.get(name, 'class_splits')}.json"
    published = json.loads(path.read_text())[name]
    split = load_split(name)
    assert [(c.id, c.name, c.unseen) for c in split.classes] == [
        (c["id"], c["name"], c["unseen"]) for c in published
    ]


def test_indices(split_file):
    split = load_split(split_file)
    assert split.seen == (0, 1, 3)
    assert split.unseen == (2, 4)
    assert split.things == (0, 1, 2)
    assert split.stuff == (3, 4)
    assert split.contiguous_id == {3: 0, 9: 1, 5: 2, 20: 3, 21: 4}
    assert split.names == ("cup", "fork", "spoon", "table", "floor")
    assert split == ClassSplit.from_json(split_file)


def _change(key, value):
    return lambda content: content["classes"][1].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("name"), "'name' .str. is missing"),
        (lambda c: c.update(classes={}), "'classes' must be list"),
        (lambda c: c.update(clases=[]), "unknown key 'clases'"),
        (_change("id", "9"), "class number 1.*'id' must be int, not '9'"),
        (_change("id", True), "'id' must be int"),
        (_change("id", -1), "ids start at 0"),
        (_change("id", 3), "the id 3 occurs twice"),
        (_change("name", "cup"), "the name 'cup' occurs twice"),
        (_change("name", " "), "names are not empty"),
        (_change("name", "cup\nred"), r"the name 'cup\\nred' has a line break"),
        (_change("name", "\ud800"), "another character that cannot be shown"),
        (_change("id", 2**24), "the id 16777216 of .* is above 16777215"),
        (_change("isthing", 1), "'isthing' must be bool, not 1"),
        (_change("seen", True), "class number 1.*unknown key 'seen'"),
        (lambda c: c["classes"][0].pop("unseen"), "class number 0.*'unseen' .bool. is missing"),
        (lambda c: c["classes"].append("mug"), "class number 5.*expected an object"),
        (lambda c: c.update(classes=[]), "has no classes"),
    ],
)
def test_bad_file_is_refused_by_name(split_file, change, message):
    content = json.loads(split_file.read_text())
    change(content)
    split_file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as error:
        load_split(split_file)
    assert str(split_file) in str(error.value)


def test_unknown_name_lists_the_known():
    with pytest.raises(InputError, match="no class split 'coco'.*coco_panoptic_119_14.*shapes"):
        load_split("coco")


def test_missing_and_malformed_file(tmp_path: Path):
    path = tmp_path / "mine.json"
    with pytest.raises(InputError, match="no such file"):
        load_split(path)
    path.write_text('{"name": ')
    with pytest.raises(InputError, match=r"mine.json: not a JSON file.*line 1"):
        load_split(path)


def test_split_built_in_code_is_checked_too():
    twice = (ClassInfo(1, "cup", True, False), ClassInfo(1, "mug", True, False))
    with pytest.raises(InputError, match="'kitchen': the id 1 occurs twice"):
        ClassSplit("kitchen", twice)


def test_two_unicode_forms_of_a_name() -> None:
    names = ("caf\u00e9", "cafe\u0301")
    with pytest.raises(InputError, match="occurs in two Unicode forms .NFC and NFD."):
        ClassSplit("kitchen", tuple(ClassInfo(i, n, True, False) for i, n in enumerate(names)))


def test_importing_a_split_is_light() -> None:
    code = (
        "import sys; from pading.vocabulary.splits import ClassSplit; "
        "print(*sorted({'torch', 'numpy', 'detectron2', 'PIL', 'yaml'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
