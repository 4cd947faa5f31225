"""MSRC v2: from its authors' .mat files to the rows' entries, and prepared files taken over."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from pading.data.dataset_rows import DATASETS, MSRC_SPLITS
from pading.data.ground_truth import LOADERS
from pading.data.masks import panoptic_ids
from pading.data.preparation import msrc
from pading.errors import InputError
from pading.vocabulary.splits import load_split

_SPLIT = load_split("msrc_17_4")
# The authors' numbers of grass, horse, sheep, face, car, body.
_GRASS, _HORSE, _SHEEP, _FACE, _CAR, _BODY = 2, 5, 6, 11, 12, 22


def _photograph(folder: Path, name: str, rows: list[list[int]], labels: list[int]) -> None:
    """The authors' files of a photograph whose segments are blocks of 4 x 4 pixels."""
    newseg = np.kron(np.array(rows, dtype=np.float64), np.ones((4, 4)))
    for part in ("Images", "newsegmentations_mats"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", newseg.shape[::-1], (90, 120, 60)).save(folder / "Images" / f"{name}.bmp")
    content = {"newseg": newseg, "newlabels": np.array([labels], dtype=np.float64)}
    savemat(folder / "newsegmentations_mats" / f"{name}.mat", content)


@pytest.fixture
def authors(tmp_path: Path) -> Path:
    folder = tmp_path / "authors"
    # 1_3_s and 2_1_s are for training, 1_1_s for validation. Two pieces of grass, a face on a body,
    # another body, a horse, and a segment without a class.
    _photograph(
        folder,
        "1_3_s",
        [[1, 2, 3, 7], [1, 4, 5, 8]],
        [_GRASS, _FACE, _GRASS, _BODY, _HORSE, _CAR, _BODY],
    )
    _photograph(folder, "2_1_s", [[1, 2]], [_GRASS, _SHEEP])
    _photograph(folder, "1_1_s", [[1, 2]], [_SHEEP, _CAR])
    return folder


def _entries(root: Path, name: str) -> list[dict]:
    spec = next(spec for spec in DATASETS if spec.name == name).under(root)
    return LOADERS[spec.task](spec, load_split(spec.split))


def _shown(entry: dict) -> dict[int, str]:
    return {s["id"]: _SPLIT.names[s["category_id"]] for s in entry["segments_info"]}


def test_authors_files(authors: Path, tmp_path: Path) -> None:
    msrc.main([str(tmp_path / "msrc"), "--source", str(authors)])
    [entry] = _entries(tmp_path, "msrc_17_4_panoptic_train")  # the one without a sheep
    names, ids = _shown(entry), panoptic_ids(entry)[::4, ::4]
    shown = [[names.get(i, "") for i in row] for row in ids.tolist()]
    assert shown == [["grass", "person", "grass", "person"], ["grass", "person", "", ""]]
    assert ids[0, 1] == ids[1, 1] != ids[0, 3]
    assert ids[0, 0] == ids[0, 2]
    [entry] = _entries(tmp_path, "msrc_17_4_instance_train")
    assert [_SPLIT.names[a["category_id"]] for a in entry["annotations"]] == ["person", "person"]
    [entry] = _entries(tmp_path, "msrc_17_4_panoptic_val")
    assert sorted(_shown(entry).values()) == ["car", "sheep"]
    assert len(_entries(tmp_path, "msrc_fold_1_semantic_train")) == 2


def test_prepared_files_are_taken_over(authors: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "msrc", tmp_path / "b" / "msrc"
    msrc.main([str(first), "--source", str(authors)])
    msrc.main([str(second), "--source", str(first)])
    for path in first.rglob("*.*"):
        assert (second / path.relative_to(first)).read_bytes() == path.read_bytes()
    (first / "images" / "1_1_s.png").unlink()
    (first / "instances_val.json").unlink()
    with pytest.raises(InputError, match=r"instances_val\.json.*missing"):
        msrc.main([str(second), "--source", str(first)])


def test_bad_input(authors: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--source"):
        msrc.main([str(tmp_path / "none")])
    _photograph(authors, "21_1_s", [[1, 1]], [_GRASS])
    with pytest.raises(InputError, match=r"21_1_s\.mat.*no photograph of this name"):
        msrc.main([str(tmp_path / "msrc"), "--source", str(authors)])


def test_every_class_is_unseen_once() -> None:
    unseen = [name for s in map(load_split, MSRC_SPLITS) for name in (s.names[i] for i in s.unseen)]
    assert sorted(unseen) == sorted(_SPLIT.names)


def test_subsets_of_the_prepared_files(shared: Path, tmp_path: Path) -> None:
    if not (shared / "data" / "msrc").is_dir():
        pytest.skip("no MSRC here")
    msrc.main([str(tmp_path / "msrc"), "--source", str(shared / "data" / "msrc")])
    assert len(_entries(tmp_path, "msrc_17_4_panoptic_train")) == 291
    for subset, count in (("train", 357), ("val", 234)):
        listed = [group.count(subset[0]) for group in msrc._SUBSETS]
        assert sum(listed) == count
