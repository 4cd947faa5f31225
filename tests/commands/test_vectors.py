"""tools/build_class_vectors.py: what it writes and refuses, with a stand-in for the encoder."""

from pathlib import Path

import numpy as np
import pytest

from pading.commands import vectors as build_class_vectors
from pading.errors import InputError
from pading.vocabulary.class_vectors import read_class_vectors
from pading.vocabulary.splits import load_split


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the stand-in was asked to encode."""
    texts: list[str] = []

    def encode(batch):
        texts.extend(batch)
        return np.array([[len(text), text.count("a") + 1, 1] for text in batch], float)

    monkeypatch.setattr(build_class_vectors, "text_encoder", lambda name, _: (encode, name))
    return texts


def test_names_of_splits_and_of_the_command_line(asked: list[str], tmp_path: Path, capsys) -> None:
    output = tmp_path / "v.npz"
    build_class_vectors.main(
        ["--names-from", "coco_instance_48_17", "--names-from", "coco_instance_65_15"]
        + ["--names", "zebra", "red hexagon", "--output", str(output)]
    )
    made = read_class_vectors(output)
    wanted = {*load_split("coco_instance_48_17").names, *load_split("coco_instance_65_15").names}
    assert set(made.names) == wanted | {"red hexagon"}
    assert len(asked) == 3 * len(made.names)
    assert f"{len(made.names)} classes, 3 numbers each, minilm" in capsys.readouterr().out


def test_prompts_and_open_clip(asked: list[str], tmp_path: Path) -> None:
    build_class_vectors.main(
        ["--names", "sky-other", "--encoder", "openclip", "--openclip-pretrained", "mine.pt"]
        + ["--prompt", "{}", "--prompt", "much {}", "--output", str(tmp_path / "v.npz")]
    )
    assert asked == ["sky", "much sky"]
    made = read_class_vectors(tmp_path / "v.npz")
    assert made.names == ("sky-other",)
    assert made.source == "openclip:ViT-B-16:mine.pt; prompts: {} | much {}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "v.npz"], "--names-from SPLIT or --names"),
        (["--names", "cat", "--output", "v.txt"], r"v\.txt: .*\.npz"),
        (
            ["--names-from", "coco_panoptics", "--output", "v.npz"],
            "no class split 'coco_panoptics'",
        ),
        (["--names", "cat", "--prompt", "a", "--output", "v.npz"], "the prompt 'a'"),
    ],
)
def test_refused(
    asked: list[str],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        build_class_vectors.main(arguments)
    assert not asked and not list(tmp_path.iterdir())
