"""Files of weights that are damaged, of something else, or that could run code."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pading.checkpoint.weights import read_weights
from tests import runs
from tests.bad_inputs.rows import Row, check_refusal, nothing, table, train
from tests.bad_inputs.world import World

_LOAD = train("MODEL.WEIGHTS", "{root}/weights.pth")
_AGAIN = "download or save it again"
_HEAD = "sem_seg_head.predictor.class_embed."


class _Code:
    """Unpickling it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Weights that fit the model of the good world."""
    world = World(tmp_path_factory.mktemp("good") / "world", np.random.default_rng(0))
    world.train()
    return read_weights(world.output / "model_final.pth")["model"]


def _bytes(content: bytes) -> Callable[[World], object]:
    return lambda world: world.path("weights.pth").write_bytes(content)


def _saved(content: Any) -> Callable[[World], object]:
    return lambda world: torch.save(content, world.path("weights.pth"))


def _pickled(world: World) -> None:
    world.path("weights.pkl").write_bytes(pickle.dumps({"a": _Code(world.path("made"))}))


def _code(world: World) -> None:
    torch.save({"model": {"a": _Code(world.path("made"))}}, world.path("weights.pth"))


UNREADABLE = [
    Row("missing", nothing, "weights.pth: there is no such file", "correct MODEL.WEIGHTS", _LOAD),
    Row("no bytes", _bytes(b""), "weights.pth: not a file of weights", _AGAIN, _LOAD),
    Row("a page", _bytes(b"<html>404</html>"), "weights.pth: not a file of weights", _AGAIN, _LOAD),
    Row("pickled code in .pth", _code, "it asks for posix.mkdir", _AGAIN, _LOAD),
    Row(
        "pickled code in .pkl",
        _pickled,
        "it asks for posix.mkdir",
        _AGAIN,
        train("MODEL.WEIGHTS", "{root}/weights.pkl"),
    ),
    Row(
        "a list", _saved([1]), "weights.pth: expected a dictionary of tensors", "found list", _LOAD
    ),
    Row(
        "nothing in it",
        _saved({"model": {}}),
        "weights.pth: it holds no state dict",
        "'model'",
        _LOAD,
    ),
    Row(
        "text in it", _saved({"a": "b"}), "weights.pth: a is no tensor but str", "no tensor", _LOAD
    ),
    Row(
        "a folder",
        lambda w: w.path("weights.pth").mkdir(),
        "weights.pth: this folder has no model.safetensors",
        "correct MODEL.WEIGHTS",
        _LOAD,
    ),
    Row(
        "evaluation without weights",
        nothing,
        "no weights",
        "give those of a trained model as MODEL.WEIGHTS",
        train("--eval-only"),
    ),
    Row(
        "evaluation of a run that has no checkpoint",
        nothing,
        "no weights",
        "give those of a trained model as MODEL.WEIGHTS",
        train("--eval-only", "--resume"),
    ),
    Row(
        "evaluation of a backbone",
        _saved({"backbone.stem.conv1.weight": torch.zeros(1)}),
        "weights.pth: it holds a backbone alone",
        "give a trained model",
        train("--eval-only", "MODEL.WEIGHTS", "{root}/weights.pth"),
    ),
    Row(
        "stage 2 without weights",
        nothing,
        "no weights",
        "converted checkpoint of stage 1",
        train("MODEL.WEIGHTS", "", stage="PADing"),
    ),
    Row(
        "stage 2 from a backbone",
        _saved({"backbone.stem.conv1.weight": torch.zeros(1)}),
        "weights.pth: it holds a backbone alone",
        "from which stage 1 starts",
        train("MODEL.WEIGHTS", "{root}/weights.pth", stage="PADing"),
    ),
    Row(
        "unreachable",
        nothing,
        "MODEL.WEIGHTS detectron2://nowhere.pkl: cannot be fetched",
        "name the file",
        train("MODEL.WEIGHTS", "detectron2://nowhere.pkl"),
    ),
]


@table(UNREADABLE)
def test_unreadable(
    row: Row, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is fetched in a test: the address leads to a port of this machine that is closed.
    monkeypatch.setattr(
        "detectron2.utils.file_io.Detectron2Handler.S3_DETECTRON2_PREFIX", "http://127.0.0.1:9/"
    )
    check_refusal(row, world, capsys)
    assert not world.path("made").exists()


def _without(name: str) -> Callable[[dict], None]:
    return lambda weights: weights.pop(name)


FITTING = [
    ("missing tensor", _without(_HEAD + "weight"), _HEAD + "weight", "configuration"),
    (
        "extra tensor",
        lambda w: w.update({"sem_seg_head.extra": torch.zeros(1)}),
        "sem_seg_head.extra",
        "configuration",
    ),
    (
        "another split",
        lambda w: w.update({_HEAD + "bias": torch.zeros(9)}),
        "the class head has 9 outputs in the file",
        "tools/preprocess_pretrained_weight.py",
    ),
    (
        "other width",
        lambda w: w.update({"sem_seg_head.predictor.query_feat.weight": torch.zeros(8, 64)}),
        "query_feat.weight",
        "64",
    ),
    (
        "NaN",
        lambda w: w[_HEAD + "bias"].fill_(torch.nan),
        _HEAD + "bias holds NaN",
        "save it again",
    ),
]


@pytest.mark.parametrize(
    ("change", "culprit", "remedy"), [f[1:] for f in FITTING], ids=[f[0] for f in FITTING]
)
def test_what_does_not_fit(
    change: Callable[[dict], None],
    culprit: str,
    remedy: str,
    good: dict[str, torch.Tensor],
    world: World,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def spoil(world: World) -> None:
        weights = {name: tensor.clone() for name, tensor in good.items()}
        change(weights)
        torch.save({"model": weights}, world.path("weights.pth"))

    check_refusal(Row("", spoil, culprit, remedy, _LOAD), world, capsys)


def test_truncated_anywhere(
    good: dict[str, torch.Tensor], world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(world: World) -> None:
        torch.save({"model": good}, world.path("weights.pth"))
        world.cut("weights.pth", 0.9)

    check_refusal(
        Row("", spoil, "weights.pth: not a file of weights", _AGAIN, _LOAD), world, capsys
    )


CONVERTER = [
    Row("missing", nothing, "weights.pth: cannot read these weights", "No such file"),
    Row("a page", _bytes(b"<html>"), "weights.pth: not a file of weights", _AGAIN),
    Row(
        "no head",
        _saved({"a": torch.zeros(1)}),
        f"it has no {_HEAD}weight",
        "checkpoint of stage 1",
    ),
    Row(
        "other head",
        _saved({_HEAD + "weight": torch.zeros(9, 4)}),
        "its class head has 9 outputs",
        "4 in all",
    ),
]


@table(CONVERTER)
def test_converter(row: Row, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    from pading.commands import convert as preprocess_pretrained_weight

    def convert(world: World) -> None:
        runs.run(
            preprocess_pretrained_weight.main,
            *("--task_name", "panoptic", "--split", world.path("split.json")),
            *("--input_file", world.path("weights.pth"), "--output_file", world.path("out.pth")),
        )

    check_refusal(Row(row.what, row.spoil, row.culprit, row.remedy, convert), world, capsys)
