"""Our numbers beside the published code's, from the command line; and that a difference is seen."""

import json
import sys
from pathlib import Path

import check_parity
import numpy as np
import pytest
import torch

from pading.errors import exit_on_input_error
from pading.losses.set_criterion import SetCriterion
from tests.models.recordings import MASK2FORMER, PADING

PROCESSED = {
    "sem_seg_argmax",
    "sem_seg_sample",
    "panoptic_seg",
    "segments_info",
    "instance_scores",
    "instance_classes",
    "instance_masks",
    "grad_norms",
}
STAGE_ONE = PROCESSED | {
    *(f"features/res{i}" for i in (2, 3, 4, 5)),
    *(f"multi_scale/{i}" for i in range(3)),
    *(f"aux_logits/{i}" for i in range(3)),
    "mask_features",
    "pred_logits",
    "pred_masks",
    "loss_names",
    "loss_mean",
}
STAGE_TWO = PROCESSED | {
    "pred_logits",
    "pred_masks",
    "pred_embed",
    "classifier_logits",
    "matched_query",
    "query_label",
    "real_embeddings",
    *(f"part/fc_projection/{i}" for i in range(3)),
    *(f"part/generator/{i}" for i in range(3)),
    *(
        f"part/{module}/{i}"
        for module in ("projection_related", "projection_unrelated", "decoder", "relation")
        for i in range(2)
    ),
    "part/gmmn_loss/0",
    *(f"part/kl_loss/{i}" for i in range(5)),
    "generate_loss",
    "classifier_loss_all_unseen",
}


def check(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the tool; give back its exit status."""
    monkeypatch.setattr(sys, "argv", ["check_parity.py", *map(str, arguments)])
    try:
        exit_on_input_error(check_parity.main)
    except SystemExit as stop:
        return stop.code
    return 0


def arrays_of(shared: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "model" / f"{name}.npz") as arrays:
        return {entry: arrays[entry] for entry in arrays.files}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MASK2FORMER, PADING])
def test_every_recorded_array_is_reproduced(
    name: str,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = shared / "golden" / "model" / f"{name}.npz"
    status = check(monkeypatch, path, "--output", tmp_path / "parity.json")
    printed = capsys.readouterr().out
    assert status == 0, printed
    report = json.loads((tmp_path / "parity.json").read_text())[str(path)]
    assert {row["array"] for row in report["arrays"]} == (
        STAGE_TWO if name == PADING else STAGE_ONE
    )
    losses = [row["part"] for row in report["arrays"] if row["array"] == "loss_mean"]
    assert len(losses) == (0 if name == PADING else 12)
    assert "pred_masks" in printed
    assert "EXCEEDED" not in printed


def altered(name: str, value: np.ndarray) -> np.ndarray:
    """The array with a difference beyond any tolerance."""
    if name == "loss_mean":
        return value + 1
    if name == "grad_norms":
        return np.array(json.dumps({k: 20 * v for k, v in json.loads(str(value)).items()}))
    if name == "loss_names":
        return np.array(json.dumps([n + "x" * (n == "loss_ce") for n in json.loads(str(value))]))
    if name == "segments_info":
        return np.array(json.dumps(json.loads(str(value))[:-1]))
    if name == "instance_masks":
        return ~value
    if name == "instance_classes":
        return np.concatenate(([value.max() + 1], value[1:]))
    if value.dtype.kind in "iu":
        return value + 1
    # One number alone.
    spoilt = value.copy()
    spoilt[(-1,) * value.ndim] = value[(-1,) * value.ndim] * 1.01 + 0.1
    return spoilt


@pytest.mark.slow
@pytest.mark.parametrize("name", [MASK2FORMER[0], PADING])
def test_a_difference_is_seen_in_every_array(
    name: str,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arrays = arrays_of(shared, name)
    outputs = (STAGE_TWO if name == PADING else STAGE_ONE) - {"matched_query"}
    spoilt = {k: altered(k, v) if k in outputs else v for k, v in arrays.items()}
    if name != PADING:
        spoilt["aux_logits/3"] = spoilt["aux_logits/2"]  # one more than there are
    path = tmp_path / "other.npz"
    np.savez(path, **spoilt)
    output = tmp_path / "parity.json"
    assert check(monkeypatch, path, "--output", output, "--draws", 2) == 1
    report = json.loads(output.read_text())[str(path)]
    assert not report["passed"]
    assert {row["array"] for row in report["arrays"] if not row["passed"]} == outputs
    assert report["unknown"] == ([] if name == PADING else ["aux_logits/3"])
    printed = capsys.readouterr()
    assert printed.out.count("EXCEEDED") >= len(outputs)
    assert str(path) in printed.err


def test_a_costlier_matching_is_seen(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(self, stages, targets):
        return [[(torch.arange(len(t.labels)), torch.arange(len(t.labels))) for t in targets]]

    monkeypatch.setattr(SetCriterion, "match", careless)
    path, output = shared / "golden" / "model" / f"{PADING}.npz", tmp_path / "parity.json"
    assert check(monkeypatch, path, "--output", output) == 1
    rows = json.loads(output.read_text())[str(path)]["arrays"]
    assert [row["array"] for row in rows if not row["passed"]] == ["matched_query"]


def test_weights_that_do_not_fit_are_all_named(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arrays = arrays_of(shared, PADING)
    arrays["weights/dict_features.weight"] = arrays.pop("weights/dict_feature.weight")
    del arrays["weights/relation.fc2.bias"]
    arrays["weights/clip.scale"] = np.ones((3, 3), np.float32)
    arrays["weights/new_fc.weight"] = arrays["weights/new_fc.weight"][:, :7]
    np.savez(tmp_path / "other.npz", **arrays)
    assert check(monkeypatch, tmp_path / "other.npz") == 2
    error = capsys.readouterr().err
    for line in (
        "generator.primitives.weight (published: dict_feature.weight)",
        "disentangler.relation.fc2.bias (published: relation.fc2.bias)",
        "dict_features.weight (renamed from generator.primitives.weight? The shape is the same)",
        "    clip.scale\n",
        "new_fc.weight: (66, 7) in the file, (66, 256) in the model",
    ):
        assert line in error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no recording", "no recording, which is an .npz file"),
        (None, "cannot read this recording"),
    ],
)
def test_what_is_no_recording(
    content: bytes | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "r.npz"
    if content is not None:
        path.write_bytes(content)
    assert check(monkeypatch, path) == 2
    assert f"{path}: {message}" in capsys.readouterr().err


def test_a_recording_without_its_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "r.npz", image_rgb=np.zeros((4, 4, 3), np.uint8))
    assert check(monkeypatch, tmp_path / "r.npz") == 2
    assert "the array 'opts' is missing" in capsys.readouterr().err
