"""Bands of masks against whole maps."""

import pytest
import torch
from detectron2.modeling.postprocessing import sem_seg_postprocess
from torch.nn import functional as F

from pading.inference import bands
from pading.inference.bands import Enlarged, make
from pading.inference.instance import InstancePart
from pading.inference.large_maps import large_zeros
from pading.inference.panoptic import PanopticPart
from pading.inference.semantic import SemanticPart, semantic_inference
from tests.inference.queries_by_hand import THINGS, at_once


@pytest.mark.parametrize("wanted", [(27, 30), (40, 33), (11, 64)])
def test_bands_are_the_rows_of_the_enlarged_masks(
    rng: torch.Generator, monkeypatch: pytest.MonkeyPatch, wanted: tuple[int, int]
) -> None:
    masks, padded, size = torch.randn(5, 8, 8, generator=rng), (32, 32), (27, 30)
    whole = F.interpolate(masks[None], padded, mode="bilinear", align_corners=False)[0]
    whole = sem_seg_postprocess(whole, size, *wanted)
    monkeypatch.setattr(bands, "_CPU_BAND", 3 * 4 * wanted[1])
    chosen = torch.tensor([0, 2, 4])
    found = list(Enlarged.to(masks, padded, size, wanted).bands(chosen))
    assert len(found) == -(-wanted[0] // 4)
    logits = torch.cat([band.masks for band in found], 1)
    torch.testing.assert_close(logits, whole[chosen], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat([band.chances for band in found], 1), logits.sigmoid())
    assert [row for band in found for row in range(wanted[0])[band.rows]] == [*range(wanted[0])]


def test_results_of_bands_are_those_of_whole_masks(
    rng: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = 3 * torch.randn(12, 9, 7, generator=rng)
    scores = (2 * torch.randn(12, 5, generator=rng)).softmax(-1)
    size = (9, 7)

    def parts() -> tuple[PanopticPart, InstancePart, SemanticPart]:
        return (
            PanopticPart(scores, size, THINGS, 0.4, 0.1),
            InstancePart(scores, size, 9),
            SemanticPart(scores, size),
        )

    monkeypatch.setattr(bands, "_CPU_BAND", 12 * 2 * 7)
    panoptic, instance, semantic = parts()
    make((panoptic, instance, semantic), Enlarged.to(masks, size, size, size))
    whole = parts()
    for part in whole:
        at_once(part, masks)
    assert len(panoptic.queries) > 1
    assert panoptic.result[0].equal(whole[0].result[0])
    assert panoptic.result[1] == whole[0].result[1]
    ours, theirs = instance.result, whole[1].result
    assert ours.pred_masks.equal(theirs.pred_masks)
    assert ours.pred_boxes.tensor.equal(theirs.pred_boxes.tensor)
    torch.testing.assert_close(ours.scores, theirs.scores)
    torch.testing.assert_close(semantic.result, semantic_inference(scores, masks))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
@pytest.mark.parametrize("side", [3, 3000])
def test_memory_for_large_maps(dtype: torch.dtype, side: int) -> None:
    made = large_zeros((2, side, side), torch.ones(1), dtype)
    assert made.shape == (2, side, side)
    assert made.dtype == dtype
    assert not made.any()
    made[1] = 1
    assert made.flatten(1).float().mean(1).tolist() == [0, 1]
