"""ZegCLIP beside its recordings: every array that is an output, and that a difference is seen."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from research.parity.check import check_recording

# What describes a recording rather than being computed.
GIVEN = re.compile(
    r"weights/.*|opts|text_embedding|(rect/)?image_rgb|output_size|train/(images_rgb|labels)|tokens"
)
FILES = ("zegclip", "text_encoder")


def arrays_of(shared: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "zegclip" / f"{name}.npz") as arrays:
        return {entry: arrays[entry] for entry in arrays.files}


@pytest.mark.parametrize("name", FILES)
def test_every_output_is_reproduced(name: str, shared: Path) -> None:
    report = check_recording(shared / "golden" / "zegclip" / f"{name}.npz")
    assert report.passed, report.table()
    outputs = {entry for entry in arrays_of(shared, name) if not GIVEN.fullmatch(entry)}
    assert {c.array for c in report.comparisons} == outputs


def altered(name: str, value: np.ndarray) -> np.ndarray:
    """The array with a difference beyond any tolerance."""
    if name.endswith("grad_norms"):
        return np.array(json.dumps({k: 2 * v + 1 for k, v in json.loads(str(value)).items()}))
    if name == "frozen":
        return np.array(json.dumps([*json.loads(str(value)), "backbone.prompt_proj.bias"]))
    if value.dtype.kind in "iu":
        return value + 1
    # One number alone.
    spoilt = value.copy()
    spoilt[(-1,) * value.ndim] = value[(-1,) * value.ndim] * 1.01 + 0.2
    return spoilt


@pytest.mark.parametrize("name", FILES)
def test_a_difference_is_seen_in_every_array(name: str, shared: Path, tmp_path: Path) -> None:
    arrays = arrays_of(shared, name)
    changed = {n: v if GIVEN.fullmatch(n) else altered(n, v) for n, v in arrays.items()}
    np.savez(tmp_path / "spoilt.npz", **changed, surprise=np.ones(3))
    report = check_recording(tmp_path / "spoilt.npz")
    assert not [c.label for c in report.comparisons if c.passed]
    assert report.unknown == ("surprise",)
