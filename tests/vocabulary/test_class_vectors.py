"""pading.vocabulary.class_vectors: our file format, word2vec text files, what ships."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pading.errors import InputError
from pading.vocabulary.class_vectors import (
    ClassVectors,
    load_class_vectors,
    read_class_vectors,
    read_word2vec_text,
    shipped_class_vectors,
)
from pading.vocabulary.splits import ClassInfo, ClassSplit, load_split

NAMES = ("cat", "dog", "red circle")
SPLIT = ClassSplit(
    "pets", tuple(ClassInfo(i, name, True, i == 2) for i, name in enumerate(reversed(NAMES)))
)


@pytest.fixture
def vectors(rng: torch.Generator) -> ClassVectors:
    return ClassVectors(NAMES, torch.randn(3, 5, generator=rng).numpy(), "a test")


@pytest.fixture
def file(vectors: ClassVectors, tmp_path: Path) -> Path:
    path = tmp_path / "made" / "v.npz"
    vectors.save(path)
    return path


def _rewrite(path: Path, **changes: object) -> None:
    with np.load(path) as old:
        entries = {key: old[key] for key in old.files} | changes
    np.savez(path, **{key: value for key, value in entries.items() if value is not None})


def test_round_trip(vectors: ClassVectors, file: Path) -> None:
    read = read_class_vectors(file)
    assert (read.names, read.source, read.checksum) == (NAMES, "a test", vectors.checksum)
    assert read.vectors.dtype == np.float32
    assert (read.vectors == vectors.vectors).all()
    first = file.read_bytes()
    vectors.save(file)
    assert file.read_bytes() == first
    assert [path.name for path in file.parent.iterdir()] == ["v.npz"]


def test_vectors_come_by_name_in_the_order_of_the_split(vectors: ClassVectors, file: Path) -> None:
    loaded = load_class_vectors(file, SPLIT)
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded, torch.from_numpy(vectors.vectors).flip(0))


def test_checksum_covers_names_values_and_shape(vectors: ClassVectors) -> None:
    others = [
        replace(vectors, names=("cat", "cow", "red circle")),
        replace(vectors, names=NAMES[::-1]),
        replace(vectors, vectors=vectors.vectors + np.float32(1e-3)),
        replace(vectors, names=NAMES[:1], vectors=vectors.vectors.reshape(1, -1)),
    ]
    assert len({vectors.checksum, *(other.checksum for other in others)}) == 5
    assert replace(vectors, source="elsewhere").checksum == vectors.checksum


def test_a_class_without_a_vector(file: Path) -> None:
    split = ClassSplit("zoo", (*SPLIT.classes, ClassInfo(9, "zebra", True, False)))
    with pytest.raises(InputError, match=r"v\.npz, split 'zoo': .*1 of 4 classes: 'zebra'; make"):
        load_class_vectors(file, split)


def test_wrong_width(file: Path) -> None:
    assert load_class_vectors(file, SPLIT, width=5).shape == (3, 5)
    with pytest.raises(InputError, match=r"v\.npz: 5 numbers per class, but 300 are needed"):
        load_class_vectors(file, SPLIT, width=300)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(vectors: ClassVectors, value: float, file: Path) -> None:
    spoilt = vectors.vectors.copy()
    spoilt[1, 3] = value
    with pytest.raises(InputError, match="'dog' holds NaN"):
        replace(vectors, vectors=spoilt)
    _rewrite(file, vectors=spoilt)
    with pytest.raises(InputError, match=r"v\.npz: the vector of class 'dog'"):
        read_class_vectors(file)


def test_repeated_names(file: Path) -> None:
    _rewrite(file, names=np.array(["cat", "dog", "cat"]))
    with pytest.raises(InputError, match=r"v\.npz: the class 'cat' has 2 vectors"):
        read_class_vectors(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": np.array(["cat", "cow", "red circle"])}, "do not fit the file's checksum"),
        ({"vectors": np.ones((3, 5), np.float32)}, "do not fit the file's checksum"),
        ({"checksum": "0" * 64}, "do not fit the file's checksum"),
        ({"vectors": np.zeros((3, 5))}, "must be a float32 matrix"),
        ({"vectors": np.zeros(3, np.float32)}, "must be a float32 matrix"),
        ({"vectors": np.zeros((2, 5), np.float32)}, "3 names do not fit"),
        ({"vectors": np.zeros((3, 0), np.float32)}, "do not fit vectors of shape"),
        ({"format": "another format 7"}, "'another format 7', not 'pading"),
        ({"names": None}, "'names' is missing"),
        ({"names": np.array(NAMES, object)}, "cannot be read"),
    ],
)
def test_a_changed_file(file: Path, changes: dict, message: str) -> None:
    _rewrite(file, **changes)
    with pytest.raises(InputError, match=rf"v\.npz: .*{re.escape(message)}"):
        read_class_vectors(file)


def test_a_damaged_file(file: Path) -> None:
    content = file.read_bytes()
    for damaged in (b"", b"text", content[: len(content) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"v\.npz: .*build_class_vectors"):
            read_class_vectors(file)


def test_a_single_array(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((3, 5), np.float32))
    with pytest.raises(InputError, match=r"v\.npy: a single array"):
        read_class_vectors(tmp_path / "v.npy")


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match="coco_clip.*coco_minilm, msrc_minilm, shapes_minilm"):
        load_class_vectors("coco_clip", SPLIT)


def test_save_elsewhere(vectors: ClassVectors, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"v\.txt.*\.npz"):
        vectors.save(tmp_path / "v.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        vectors.save(tmp_path / "file" / "v.npz")


@pytest.mark.parametrize("separator", [",", " ", ", ", "\t"])
def test_word2vec_text(tmp_path: Path, rng: torch.Generator, separator: str) -> None:
    matrix = torch.randn(7, 4, generator=rng)
    path = tmp_path / "w2v.txt"
    path.write_text("\n".join(separator.join(map(repr, row)) for row in matrix.tolist()) + "\n")
    assert torch.equal(load_class_vectors(path, SPLIT, width=7), matrix.T[1:])
    assert read_word2vec_text(path, SPLIT).names == SPLIT.names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,4\n1,2,3\n", "line 2 has 3 numbers, but background and the 3 classes"),
        ("1 2 3 4 5\n", "line 1 has 5 numbers"),
        ("1,2,3,x\n", "line 1: could not convert"),
        ("1,2,3,nan\n", "class 'cat' holds NaN"),
        ("\n", "empty"),
    ],
)
def test_a_word2vec_text_that_does_not_fit(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "w2v.txt").write_text(text)
    with pytest.raises(InputError, match=rf"w2v\.txt: .*{message}"):
        load_class_vectors(tmp_path / "w2v.txt", SPLIT)


def test_a_missing_word2vec_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"w2v\.txt: cannot read"):
        load_class_vectors(tmp_path / "w2v.txt", SPLIT)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("coco_minilm", "coco_panoptic_119_14"),
        ("coco_minilm", "coco_instance_48_17"),
        ("coco_minilm", "coco_instance_65_15"),
        ("coco_minilm", "coco_stuff_156_15"),
        ("shapes_minilm", "shapes"),
    ],
)
def test_shipped_vectors_cover_the_shipped_splits(name: str, split: str) -> None:
    assert name in shipped_class_vectors()
    vectors = load_class_vectors(name, load_split(split), width=384)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(len(vectors)), atol=1e-5)
    similarity = vectors @ vectors.T
    similarity.fill_diagonal_(0)
    assert similarity.max() < 0.9999  # no two classes of a split share a vector


def test_shipped_coco_vectors_mean_something() -> None:
    vectors = read_class_vectors("coco_minilm")

    def similarity(one: str, other: str) -> float:
        a, b = vectors.select([one, other])
        return float(a @ b)

    for anchor, near, far in (
        ("cat", "dog", "truck"),
        ("wall-other-merged", "wall-brick", "banana"),
        ("fork", "spoon", "cow"),
        ("snowboard", "skis", "couch"),
    ):
        assert similarity(anchor, near) > similarity(anchor, far) + 0.1


def test_unseen_shapes_follow_from_the_parts_of_the_seen() -> None:
    """Fitted on the seen things, colour + shape predicts every unseen thing's vector."""
    split = load_split("shapes")
    names = [split.names[label] for label in split.things]
    unseen = np.array([split.classes[label].unseen for label in split.things])
    words = sorted({word for name in names for word in name.split()})
    parts = np.array([[word in name.split() for word in words] for name in names], float)
    vectors = read_class_vectors("shapes_minilm").select(names).numpy()
    mean = vectors[~unseen].mean(axis=0)
    seen_parts = parts[~unseen]
    weights = np.linalg.solve(
        seen_parts.T @ seen_parts + 0.1 * np.eye(len(words)),
        seen_parts.T @ (vectors[~unseen] - mean),
    )
    predicted = mean + parts[unseen] @ weights
    left = ((predicted - vectors[unseen]) ** 2).sum()
    assert left < 0.1 * ((vectors[unseen] - mean) ** 2).sum()
    distances = np.linalg.norm(predicted[:, None] - vectors[None], axis=2)
    assert (distances.argmin(axis=1) == np.flatnonzero(unseen)).all()
