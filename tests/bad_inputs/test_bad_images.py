"""Images and label maps that cannot be used."""

import os
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.bad_inputs.rows import Row, check_refusal, table, train
from tests.bad_inputs.world import SIZE, World

_AGAIN = "fetch or make the file again"


def _write(name: str, content: bytes) -> Callable[[World], object]:
    return lambda world: world.path(name).write_bytes(content)


def _image(name: str, pixels: np.ndarray, **options: object) -> Callable[[World], object]:
    return lambda world: Image.fromarray(pixels).save(world.path(name), **options)


def _replace_by(name: str, make: Callable[[str], object]) -> Callable[[World], object]:
    def spoil(world: World) -> None:
        world.path(name).unlink()
        make(str(world.path(name)))

    return spoil


def _sideways(world: World) -> None:
    """Stored as annotated, but its EXIF orientation says that it must be turned."""
    image = Image.open(world.path("images/0.jpg"))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(world.path("images/0.jpg"), exif=exif)


def _map(value: int) -> np.ndarray:
    return np.full(SIZE, value, dtype=np.uint8)


ROWS = [
    Row("truncated", lambda w: w.cut("images/0.jpg"), "images/0.jpg: cannot read", _AGAIN),
    Row("no bytes", _write("images/0.jpg", b""), "images/0.jpg: cannot read", _AGAIN),
    Row("a page", _write("images/0.jpg", b"<html>404</html>"), "images/0.jpg: cannot read", _AGAIN),
    Row("zeros", _write("images/0.jpg", bytes(999)), "images/0.jpg: cannot read", _AGAIN),
    Row(
        "huge",
        _write("images/0.jpg", b"P6 60000 60000 255 "),
        "images/0.jpg: Image size (3600000000 pixels) exceeds",
        "scale this image down",
    ),
    Row("missing", lambda w: w.path("images/0.jpg").unlink(), "images/0.jpg: there is no", "compl"),
    Row("a folder", _replace_by("images/0.jpg", os.mkdir), "images/0.jpg: ", "no regular file"),
    Row("a pipe", _replace_by("images/0.jpg", os.mkfifo), "images/0.jpg: ", "no regular file"),
    Row(
        "a dangling link",
        _replace_by("images/0.jpg", lambda path: os.symlink("nowhere.jpg", path)),
        "images/0.jpg: there is no such file",
        "complete the folder",
    ),
    Row(
        "EXIF against its annotation", _sideways, "images/0.jpg: height x width is 32 x 40", "EXIF"
    ),
    Row(
        "another size",
        _image("images/0.jpg", np.zeros((9, 9, 3), np.uint8)),
        "images/0.jpg: height x width is 9 x 9, but 40 x 32",
        "one of the two is wrong",
    ),
    Row(
        "values beyond 8 bits",
        _image("images/0.jpg", np.zeros(SIZE, np.float32), format="TIFF"),
        "images/0.jpg: ",
        "save it with 8 or 16 bits",
    ),
    Row("validation too", lambda w: w.cut("images/2.jpg"), "images/2.jpg: cannot read", _AGAIN),
    Row("PNG truncated", lambda w: w.cut("labels/0.png"), "labels/0.png: cannot read", _AGAIN),
    Row(
        "panoptic PNG of indices",
        _image("labels/0.png", _map(3)),
        "labels/0.png: a panoptic PNG codes",
        "mode of this image is L",
    ),
    Row(
        "panoptic PNG of another size",
        _image("labels/0.png", np.zeros((*SIZE[::-1], 3), np.uint8)),
        "labels/0.png: height x width is 32 x 40",
        "one of the two is wrong",
    ),
    Row(
        "label map with colours",
        _image("maps/0.png", np.zeros((*SIZE, 3), np.uint8)),
        "maps/0.png: a label map has one channel of up to 16 bits",
        "mode of this image is RGB",
        train(task="semantic"),
    ),
    Row(
        "label map of another size",
        _image("maps/0.png", _map(3)[1:]),
        "maps/0.png: height x width is 39 x 32",
        "one of the two is wrong",
        train(task="semantic"),
    ),
    Row(
        "label map with an unknown value",
        _image("maps/0.png", _map(7)),
        "maps/0.png: the value 7 belongs to no class",
        "ignored_labels",
        train(task="semantic"),
    ),
    Row(
        "label map without an image",
        _image("maps/7.png", _map(3)),
        "maps/7.png: there is no image 7.*",
        "complete that folder, or remove the label map",
        train(task="semantic"),
    ),
    Row(
        "label map with two images",
        _image("images/0.png", np.zeros((*SIZE, 3), np.uint8)),
        "maps/0.png: there are two images, 0.jpg and 0.png",
        "remove one",
        train(task="semantic"),
    ),
]


@table(ROWS)
def test_refused(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(row, world, capsys)
