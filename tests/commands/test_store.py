"""tools/store_embeddings.py: makes what stage 2 then takes, and refuses what cannot be."""

from pathlib import Path

import pytest
import torch

from pading.checkpoint.weights import read_weights
from pading.commands import store as tool
from tests.runs import UNSCORED, arguments, run, train


def test_stage_two_learns_the_same_from_it_as_from_its_own(converted: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    common = ("MODEL.WEIGHTS", converted, *UNSCORED)
    for part in ("0/2", "1/2"):
        run(
            tool.main,
            *("--output", store, "--part", part),
            *arguments("PADing", tmp_path / "x", *common, "MODEL.STORE.SHARD_IMAGES", 2),
        )
    train("PADing", tmp_path / "a", *common, "MODEL.STORE.PATH", store)
    train("PADing", tmp_path / "b", *common)
    one, other = (read_weights(tmp_path / n / "model_final.pth")["model"] for n in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one["memory.counts"].sum() == 3 * 2 * 8  # steps x images x queries


@pytest.mark.parametrize(
    ("part", "stage", "weights", "message"),
    [
        ("2/2", "PADing", True, "--part 2/2: give I/N"),
        ("0/1", "pretrain", True, "stored for stage 2"),
        ("0/1", "PADing", False, "no weights; give those"),
    ],
)
def test_bad_input(
    part: str, stage: str, weights: bool, message: str, converted: Path, tmp_path: Path, capsys
) -> None:
    pairs = ("MODEL.WEIGHTS", converted) if weights else ()
    with pytest.raises(SystemExit) as exit_info:
        run(
            tool.main,
            *("--output", tmp_path / "s", "--part", part),
            *arguments(stage, tmp_path / "x", *pairs, *UNSCORED),
        )
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err
