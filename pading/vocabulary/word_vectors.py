"""Vectors of words: files of GloVe, fastText and word2vec, as text or binary.

Text files hold a word and its numbers a line; word2vec's and fastText's begin with a line of two
counts. word2vec's binary files begin with that line, and hold each word, a blank and its numbers as
float32. Only the words that are asked for are kept, so that files of any size can be read. A file
may be compressed (``.gz``).
"""

import gzip
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from pading.errors import InputError, first_few
from pading.vocabulary.text_encoders import TextEncoder

_logger = logging.getLogger(__name__)
_FASTTEXT_MODEL = (793712314).to_bytes(4, "little")
_WORD = re.compile(r"[^\W_]+(?:'\w+)?")
_LONGEST = 10_000
"""Bytes of a word; no file has one so long."""


def word_encoder(path: str) -> tuple[TextEncoder, str]:
    """An encoder that averages the vectors of a name's words.

    A name that the file holds as a whole ("sports_ball") is that vector alone. Words are looked up
    as they are, then in lower case. Those that the file does not have are named in a warning.

    Args:
        path: of the file.

    Returns:
        the encoder and its description.

    Raises:
        InputError: no such file. The encoder refuses a file that cannot be read, and names of which
            no word is known.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file of word vectors", "missing")

    def encode(texts: Sequence[str]) -> np.ndarray:
        wanted = {form for text in texts for part in _parts(text) for form in _forms(part)}
        known = read_words(path, wanted)
        missing: dict[str, None] = {}
        found = [_average(text, known, missing) for text in texts]
        lost = [text for text, vector in zip(texts, found, strict=True) if vector is None]
        if lost:
            raise InputError(
                f"{path}: has no word of {first_few([repr(text) for text in lost])}; give these "
                "classes other names, or take another encoder"
            )
        if missing:
            _logger.warning("%s: words without a vector: %s", path, first_few(list(missing), 20))
        return np.stack([vector for vector in found if vector is not None])

    return encode, f"words:{path}"


def read_words(path: str, wanted: Collection[str]) -> dict[str, np.ndarray]:
    """The vectors of the wanted words that a file holds, float32 of one width.

    Raises:
        InputError: it is no such file; the message names the line or word.
    """
    opened: Any = gzip.open(path) if path.endswith(".gz") else open(path, "rb")  # noqa: SIM115
    try:
        with opened as file:
            start = file.read(4)
            if start == _FASTTEXT_MODEL:
                raise InputError(
                    f"{path}: a model of fastText; give its file of vectors, which ends in .vec"
                )
            file.seek(0)
            first = file.readline(1 << 20)
            counts = first.split()
            if len(counts) == 2 and all(count.isdigit() for count in counts):
                width = int(counts[1])
                start_of_rows = file.tell()
                if _is_text(file.readline(1 << 20), width):
                    file.seek(start_of_rows)
                    return dict(_text_rows(file, path, width, wanted, 2))
                file.seek(start_of_rows)
                return dict(_binary_rows(file, path, int(counts[0]), width, wanted))
            file.seek(0)
            return dict(_text_rows(file, path, len(counts) - 1, wanted, 1))
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot read these word vectors ({error})", "corrupt") from error


def _is_text(line: bytes, width: int) -> bool:
    cells = line.split()[-width:]
    try:
        return len(cells) == width and all(np.isfinite(float(cell)) for cell in cells)
    except ValueError:
        return False


def _text_rows(
    file: IO[bytes], path: str, width: int, wanted: Collection[str], first: int
) -> Iterator[tuple[str, np.ndarray]]:
    for number, line in enumerate(file, first):
        # From the right: GloVe's largest file has words with blanks.
        cells = line.rstrip().rsplit(b" ", width)
        if len(cells) != width + 1 or width < 1:
            raise InputError(
                f"{path}: line {number}: expected a word and {width} numbers; give a file "
                "of GloVe, fastText (.vec) or word2vec",
                "corrupt",
            )
        word = cells[0].decode("utf-8", "replace")
        if word not in wanted:
            continue
        try:
            yield word, np.array(cells[1:], dtype=np.float32)
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}", "corrupt") from error


def _binary_rows(
    file: IO[bytes], path: str, count: int, width: int, wanted: Collection[str]
) -> Iterator[tuple[str, np.ndarray]]:
    for number in range(count):
        letters = bytearray()
        while (letter := file.read(1)) != b" ":
            if not letter or len(letters) > _LONGEST:
                raise InputError(f"{path}: word {number} of {count} is broken off", "corrupt")
            letters += letter.strip(b"\n")
        raw = file.read(4 * width)
        if len(raw) < 4 * width:
            raise InputError(f"{path}: word {number} of {count} is broken off", "corrupt")
        word = letters.decode("utf-8", "replace")
        if word in wanted:
            yield word, np.frombuffer(raw, dtype="<f4").astype(np.float32)


def _parts(text: str) -> list[str]:
    """The whole name, as phrases are written, and its words."""
    words = _WORD.findall(text)
    return ["_".join(words), *words]


def _forms(word: str) -> tuple[str, str]:
    return word, word.lower()


def _average(
    text: str, known: dict[str, np.ndarray], missing: dict[str, None]
) -> np.ndarray | None:
    whole, *words = _parts(text)
    vectors = []
    for part in [whole] if any(form in known for form in _forms(whole)) else words:
        form = next((form for form in _forms(part) if form in known), None)
        if form is None:
            missing[part] = None
        else:
            vectors.append(known[form])
    return np.mean(vectors, axis=0) if vectors else None
