import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pading.errors import InputError
from pading.files import look_alike, printable, read_json, replacing, write_json


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "deep" / "results.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def test_nothing_is_there_before_the_block_ends(tmp_path):
    path = tmp_path / "map.png"
    with replacing(path) as temporary:
        assert temporary.endswith(".png")
        open(temporary, "wb").close()
        assert not path.exists()
    assert path.exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: cannot make this folder"):
        write_json(tmp_path / "file" / "results.json", {})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_json_as_other_tools_write_it(tmp_path: Path, encoding: str, pack) -> None:
    content = {"name": "café \u4e2d"}
    path = tmp_path / "names.json"
    path.write_bytes(pack(json.dumps(content, ensure_ascii=False).encode(encoding)))
    assert read_json(path) == content


@pytest.mark.parametrize(
    "data", [gzip.compress(b"{}", mtime=0)[:-9], b"\x1f\x8b", '"é"'.encode("latin-1"), b"\xff\xfe{"]
)
def test_what_is_no_json(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "names.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"names.json: not a JSON file: .*; fetch or make it"):
        read_json(path)


@pytest.mark.parametrize(
    ("there", "wanted", "remedy"),
    [
        ("cafe\u0301.jpg", "caf\u00e9.jpg", "another Unicode form .* NFC against NFD"),
        ("IMG.JPG", "img.jpg", "the folder has IMG.JPG"),
        ("caf\udce9.jpg", "caf\u00e9.jpg", "another encoding than UTF-8"),
        ("0.jpg", "folder\\0.jpg", "the backslashes of Windows"),
        ("0.jpg", "http://a.org/0.jpg", "is an address: fetch the file"),
        ("0.jpg", "1.jpg", "^$"),
    ],
)
def test_names_that_look_alike(tmp_path: Path, there: str, wanted: str, remedy: str) -> None:
    (tmp_path / there).touch()
    path = wanted if "://" in wanted else str(tmp_path / wanted)
    assert re.search(remedy, look_alike(path))


def test_every_name_can_be_printed(tmp_path: Path) -> None:
    assert printable("a\nb\udce9 é 中") == "a\\nb\\udce9 é 中"
    code = (
        "from pading.errors import InputError, exit_on_input_error\n"
        "def main():\n    print('caf\\udce9 \u4e2d')\n    raise InputError('caf\\udce9')\n"
        "exit_on_input_error(main)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert run.returncode == 2
    assert run.stdout == b"caf\\udce9 \\u4e2d\n"
    assert run.stderr == b"error: caf\\udce9\n"
