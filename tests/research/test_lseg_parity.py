"""LSeg beside its recordings: every array that is an output, and that a difference is seen."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from research.parity.check import check_recording

FILES = ("lseg_vit_l16", "lseg_vit_b32", "lseg_zs_rn101", "lseg_metrics")
# What describes a recording rather than being computed.
GIVEN = re.compile(
    r"(weights|block_weights)/.*|config|(free_)?labels|(zero_shot/)?(names|class_id)|.*image_rgb"
    r"|images_rgb|train_images_rgb|train_target|target|ignore|fold|class_ids|prediction"
    r"|semantic_(prediction|target|classes)"
)


def arrays_of(shared: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "lseg" / f"{name}.npz") as arrays:
        return {entry: arrays[entry] for entry in arrays.files}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_output_is_reproduced(name: str, shared: Path) -> None:
    report = check_recording(shared / "golden" / "lseg" / f"{name}.npz")
    assert report.passed, report.table()
    outputs = {entry for entry in arrays_of(shared, name) if not GIVEN.fullmatch(entry)}
    assert {c.array for c in report.comparisons} == outputs


def altered(name: str, value: np.ndarray) -> np.ndarray:
    """The array with a difference beyond any tolerance."""
    if name.endswith("_norms"):
        return np.array(json.dumps({k: 2 * v + 1 for k, v in json.loads(str(value)).items()}))
    if name.endswith("no_grad"):
        return np.array(json.dumps([*json.loads(str(value)), "net.scratch.head1.weight"]))
    if name == "optimizer":
        published = json.loads(str(value))
        published["groups"][1]["lr"] *= 2
        return np.array(json.dumps(published))
    if value.dtype.kind in "iu":
        return value + 1
    # One number alone.
    spoilt = value.copy()
    spoilt[(-1,) * value.ndim] = value[(-1,) * value.ndim] * 1.01 + 0.1
    return spoilt


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lseg_vit_b32", "lseg_zs_rn101", "lseg_metrics"])
def test_a_difference_is_seen_in_every_array(name: str, shared: Path, tmp_path: Path) -> None:
    arrays = arrays_of(shared, name)
    outputs = [entry for entry in arrays if not GIVEN.fullmatch(entry)]
    # The features of the texts are what the scores stand on: they have a file of their own.
    texts = [entry for entry in outputs if entry.endswith("text_features")]
    for spoilt in (set(outputs) - set(texts), set(texts)):
        changed = {n: altered(n, v) if n in spoilt else v for n, v in arrays.items()}
        np.savez(tmp_path / f"{name}.npz", **changed)
        report = check_recording(tmp_path / f"{name}.npz")
        unseen = spoilt - {c.array for c in report.comparisons if not c.passed}
        assert not unseen
        assert not report.unknown


def test_an_array_that_nobody_knows(shared: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "more.npz", **arrays_of(shared, "lseg_metrics"), surprise=np.ones(3))
    report = check_recording(tmp_path / "more.npz")
    assert not report.passed
    assert report.unknown == ("surprise",)
