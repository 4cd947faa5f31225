"""Published checkpoints of every format and stage, by our checkpointer and Detectron2's own."""

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from safetensors.torch import save_file
from torch import Tensor, nn

from pading.checkpoint.checkpointer import Checkpointer
from pading.errors import InputError
from pading.models.pading.stage_two import PADing
from tests.narrow import narrow_model

HEAD = "sem_seg_head.predictor.class_embed."


def published_weights(model: nn.Module) -> dict[str, Tensor]:
    """As the published code saves them: no class vectors, but the loss's class weights."""
    weights = PADing.published_names.to_published(model.state_dict())
    weights.pop("pading.class_vectors", None)
    return weights | {"criterion.empty_weight": torch.ones(len(weights[HEAD + "bias"]))}


def older(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Under the names of Mask2Former's first checkpoints."""
    renamed = {}
    for name, value in weights.items():
        old = next(
            (o + name[len(n) :] for o, n in PADing.published_names.older if name.startswith(n)),
            name,
        )
        renamed[old] = value
    assert renamed.keys() != weights.keys()
    return renamed


def wrapped(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """As saved from within DistributedDataParallel."""
    return {f"module.{name}": value for name, value in weights.items()}


def write(path: Path, weights: dict[str, Tensor]) -> str:
    if path.suffix == ".pkl":
        arrays = {name: value.numpy() for name, value in weights.items()}
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "third_party"}))
    elif path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"model": weights, "iteration": 5, "trainer": {"_trainer": {}}}, path)
    return str(path)


@pytest.mark.parametrize(
    ("checkpointer", "ending"),
    [
        (Checkpointer, ".pkl"),
        (Checkpointer, ".pth"),
        (Checkpointer, ".safetensors"),
        (DetectionCheckpointer, ".pkl"),
        (DetectionCheckpointer, ".pth"),
    ],
)
@pytest.mark.parametrize("stage", ["pretrain", "PADing"])
@pytest.mark.parametrize("layout", [dict, older, wrapped])
def test_loads_as_it_is(
    checkpointer: type, ending: str, stage: str, layout: Callable, tmp_path: Path, seed: int
) -> None:
    first, second = narrow_model(stage), narrow_model(stage)
    path = write(tmp_path / f"w{ending}", layout(published_weights(first)))
    checkpointer(second).load(path)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


@pytest.fixture
def converted(seed: int) -> dict[str, Tensor]:
    """A published checkpoint before stage 2: it ends with the classifier."""
    weights = published_weights(narrow_model("PADing"))
    kept = ("backbone.", "sem_seg_head.", "criterion.", "new_fc.")
    return {name: value for name, value in weights.items() if name.startswith(kept)}


@pytest.mark.parametrize("checkpointer", [Checkpointer, DetectionCheckpointer])
def test_before_stage_two(
    checkpointer: type, converted: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = narrow_model("PADing")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with caplog.at_level(logging.INFO, "pading"):
        checkpointer(model).load(write(tmp_path / "w.pth", converted))
    after = model.state_dict()
    assert torch.equal(after["classifier.weight"], converted["new_fc.weight"])
    afresh = ("class_vectors", "semantic_projection.", "generator.", "disentangler.")
    assert all(torch.equal(after[n], before[n]) for n in after if n.startswith(afresh))
    [line] = [r.getMessage() for r in caplog.records if "stay as the model was built" in r.msg]
    assert line.endswith("class_vectors, semantic_projection, generator, disentangler, memory")
    assert "not used here: criterion.empty_weight" in caplog.text


def test_a_part_of_stage_two_is_no_fresh_start(tmp_path: Path, seed: int) -> None:
    weights = published_weights(narrow_model("PADing"))
    for name in [name for name in weights if name.startswith("projection_related.")]:
        del weights[name]
    with pytest.raises(InputError, match="4 missing from the file:\n    disentangler.related.0"):
        Checkpointer(narrow_model("PADing")).load(write(tmp_path / "w.pth", weights))


def test_the_published_converters_head_is_told(
    converted: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Checkpointer(narrow_model("PADing")).load(write(tmp_path / "w.pth", converted))
    assert "row of no-object is zero" not in caplog.text
    for name in ("weight", "bias"):
        converted[HEAD + name][-1] = 0
    Checkpointer(narrow_model("PADing")).load(write(tmp_path / "w.pth", converted))
    assert "w.pth: the class head's row of no-object is zero" in caplog.text


def test_other_class_vectors_are_asked_for(tmp_path: Path, seed: int) -> None:
    weights = published_weights(narrow_model("PADing"))
    weights["fc_projection.weight"] = torch.zeros(32, 300)
    with pytest.raises(
        InputError, match=r"w\.pth: it was trained with class vectors of 300 numbers, but MODEL\."
    ):
        Checkpointer(narrow_model("PADing")).load(write(tmp_path / "w.pth", weights))


def test_arrays_of_half_precision(tmp_path: Path, seed: int) -> None:
    model = narrow_model("pretrain")
    halves = {n: np.asarray(v).astype(np.float16) for n, v in published_weights(model).items()}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"model": halves}))
    Checkpointer(model).load(str(tmp_path / "w.pkl"))
    name = "sem_seg_head.predictor.query_feat.weight"
    assert model.state_dict()[name].dtype == torch.float32
    assert torch.equal(model.state_dict()[name], torch.from_numpy(halves[name]).float())
