"""``pading quantize``: what it writes, and that predictions follow it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pading import load
from pading.commands import quantize
from tests.export.narrow_systems import narrow_predictor
from tests.runs import run

pytestmark = pytest.mark.skipif(
    not torch.cpu._is_vnni_supported(), reason="this processor has no 8-bit instructions"
)


def test_a_model_in_eight_bits(
    tmp_path: Path, rng: torch.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow_predictor("zero_shot").save(str(tmp_path / "model.pth"))
    coarse = 255 * torch.rand(1, 3, 6, 8, generator=rng)
    [fine] = torch.nn.functional.interpolate(coarse, (96, 128), mode="bilinear")
    Image.fromarray(fine.permute(1, 2, 0).byte().numpy()).save(tmp_path / "photo.png")
    run(
        quantize.main,
        *(tmp_path / "model.pth", tmp_path / "model8.pth", "--images", tmp_path / "photo.png"),
    )
    assert "ranges from 1 images" in capsys.readouterr().out
    pairs = ["MODEL.DEVICE", "cpu"]
    ours = load(tmp_path / "model8.pth", "", pairs)
    assert ours.model.inference.dtype == torch.int8
    same = load(tmp_path / "model8.pth", "", [*pairs, "MODEL.INFERENCE.DTYPE", "float32"])
    before = load(tmp_path / "model.pth", "", pairs)
    image = tmp_path / "photo.png"
    found, plain, wanted = (p.predict(image).scores.semantic for p in (ours, same, before))
    np.testing.assert_array_equal(plain, wanted)
    assert not np.array_equal(found, wanted)
    np.testing.assert_allclose(found, wanted, atol=0.1)
