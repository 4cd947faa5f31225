"""Word vectors of every kind of file give the same class vectors."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from pading.commands import vectors as command
from pading.errors import InputError
from pading.vocabulary.class_vectors import read_class_vectors
from pading.vocabulary.text_sources import parse_source, text_encoder, vectors_like
from pading.vocabulary.word_vectors import read_words

WORDS = {
    "cup": [1.0, 0.0, 2.0],
    "sports": [0.5, 1.5, 0.0],
    "ball": [1.5, 0.5, 4.0],
    "fire_hydrant": [0.0, 0.0, 3.0],
    "fire": [9.0, 9.0, 9.0],
}


def write(path: Path, kind: str) -> Path:
    rows = "".join(f"{w} {' '.join(map(str, v))}\n" for w, v in WORDS.items())
    if kind == "glove":
        path.write_text(f"the 1 1 1\n. . . 1 1 1\n{rows}")  # its largest file has words with blanks
    elif kind == "fasttext":
        path.write_text(f"{len(WORDS)} 3\n{rows}")
    elif kind == "gzip":
        path.write_bytes(gzip.compress(rows.encode()))
    else:
        content = f"{len(WORDS)} 3\n".encode()
        for word, vector in WORDS.items():
            content += word.encode() + b" " + np.array(vector, "<f4").tobytes() + b"\n"
        path.write_bytes(content)
    return path


FILES = {"glove": "g.txt", "fasttext": "f.vec", "gzip": "g.txt.gz", "word2vec": "w.bin"}


@pytest.mark.parametrize("kind", FILES)
def test_names_of_one_and_several_words(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(write(tmp_path / FILES[kind], kind))
    encode, source = text_encoder(f"words:{path}")
    found = encode(["Cup", "sports ball", "fire hydrant", "blue cup"])
    np.testing.assert_allclose(found, [[1, 0, 2], [1, 1, 2], [0, 0, 3], [1, 0, 2]])
    assert "blue" in caplog.text and "cup" not in caplog.messages[0].split(": ")[-1].split(", ")
    with pytest.raises(InputError, match="has no word of 'zebra'"):
        encode(["cup", "zebra"])
    assert parse_source(f"{source}; prompts: {{}}")[0] == f"words:{path}"


def test_command_and_new_names_through_the_same(tmp_path: Path) -> None:
    words = str(write(tmp_path / "g.txt", "glove"))
    output = str(tmp_path / "v.npz")
    names = ["--names", "cup", "sports ball"]
    command.main([*names, "--encoder", "words", "--words", words, "--output", output])
    made = read_class_vectors(output)
    np.testing.assert_allclose(made.vectors[1], np.array([1, 1, 2]) / 6**0.5, rtol=1e-6)
    more = vectors_like(made.source, ["fire hydrant"])
    np.testing.assert_allclose(more.vectors, [[0, 0, 1]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cup 1 2 3\nfork 1 2\n", "line 2: expected a word and 3 numbers"),
        (b"2 3\ncup 1 2 3\nfork 1 x 3\n", "line 3"),
        (b"5 3\ncup " + np.ones(3, "<f4").tobytes() + b"\nfo", "word 1 of 5 is broken off"),
        ((793712314).to_bytes(4, "little") + bytes(20), "ends in .vec"),
    ],
)
def test_broken_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_words(str(path), {"cup", "fork"})
