"""Uploads go with the last visit that used them."""

import os
from pathlib import Path

from pading.apps.uploads import Uploads


def test_a_file_goes_with_the_last_visit(tmp_path: Path) -> None:
    shared, own, again = (tmp_path / name for name in ("shared", "own", "again"))
    for path in (shared, own, again):
        path.write_bytes(b"image")
    uploads = Uploads()
    for path in (shared, own, again):
        uploads.used("first", str(path))
    uploads.used("second", str(shared))
    os.utime(again, ns=(0, 1))  # sent again by a visitor whose turn has not come
    uploads.ended("first")
    assert shared.exists() and again.exists() and not own.exists()
    uploads.ended("second")
    uploads.ended("never there")
    assert not shared.exists()
