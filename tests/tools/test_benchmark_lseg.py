"""tools/benchmark_lseg.py: what it measures, with two small networks in the places of the large."""

import sys

import benchmark_lseg
import benchmark_zegclip
import published_zegclip
import pytest
import side_by_side
import torch
from torch import nn

from pading.errors import InputError


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read as Linux tells it")
def test_two_networks_take_turns(rng: torch.Generator) -> None:
    images, network = [], nn.Conv2d(3, 2, 3)

    def published(x: torch.Tensor) -> torch.Tensor:
        images.append(x)
        return network(x) + 0.5

    image = torch.randn(1, 3, 64, 64, generator=rng)
    found = side_by_side.compare({"published": published, "ours": network}, image, 3)
    assert len(images) == 4  # one is not counted
    assert found["difference"] == pytest.approx(0.5, abs=1e-6)
    assert found["published"] > 0 and found["ours"] > 0
    text = benchmark_lseg.table([{"size": "64x64", "labels": 2, **found}], 1)
    assert text.splitlines()[-1].split()[:2] == ["64x64", "2"]


def test_a_checkout_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("LSEG_CHECKOUT", str(tmp_path))
    with pytest.raises(InputError, match="no checkout of the published code"):
        benchmark_lseg.published_network(["cat"])


def test_a_checkout_of_zegclip_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv(published_zegclip.CHECKOUT, str(tmp_path))
    with pytest.raises(InputError, match="no checkout of the published code"):
        published_zegclip.published_network(benchmark_zegclip.split_of(20), 10)
