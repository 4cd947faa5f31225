import json

import pytest

from pading.errors import InputError
from pading.files import replacing, write_json


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
