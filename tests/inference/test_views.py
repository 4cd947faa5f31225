"""Windows, scales and flips against naive loops."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pading.inference.settings import InferenceSettings
from pading.inference.views import at_sizes, look_at, with_mirrored
from pading.inference.windows import windowed


def pixelwise(images: Tensor) -> Tensor:
    """Scores that depend on the pixel alone: any window gives the same."""
    return torch.stack((images.sum(1), images[:, 0] * images[:, 1]), dim=1)


def by_mean(images: Tensor) -> Tensor:
    """Scores that depend on the whole window."""
    return images[:, :2] + images.mean((1, 2, 3), keepdim=True)


@pytest.mark.parametrize("size", [(7, 9), (12, 20), (13, 21), (8, 30)])
def test_windows_cover_and_average(size: tuple[int, int], rng: torch.Generator) -> None:
    image = torch.randn(1, 3, *size, generator=rng, dtype=torch.float64).float()
    torch.testing.assert_close(windowed(pixelwise, image, (8, 10), (5, 6)), pixelwise(image))
    height, width = min(8, size[0]), min(10, size[1])
    total, hits = torch.zeros(1, 2, *size), torch.zeros(size)
    tops = {min(t, size[0] - height) for t in range(0, max(size[0] - height, 0) + 5, 5)}
    lefts = {min(t, size[1] - width) for t in range(0, max(size[1] - width, 0) + 6, 6)}
    for top in tops:
        for left in lefts:
            piece = image[..., top : top + height, left : left + width]
            total[..., top : top + height, left : left + width] += by_mean(piece)
            hits[top : top + height, left : left + width] += 1
    for batch in (1, 3, 100):
        torch.testing.assert_close(windowed(by_mean, image, (8, 10), (5, 6), batch), total / hits)
    several = torch.cat((image, torch.randn(2, 3, *size, generator=rng)))
    for batch in (1, 5, 100):
        together = windowed(by_mean, several, (8, 10), (5, 6), batch)
        for one, found in zip(several, together, strict=True):
            alone = windowed(by_mean, one[None], (8, 10), (5, 6))
            torch.testing.assert_close(found[None], alone)


@pytest.mark.parametrize("size", [(5, 7), (8, 12), (13, 21), (8, 30)])
def test_windows_cut_at_the_border_are_padded(size: tuple[int, int], rng: torch.Generator) -> None:
    image = torch.randn(1, 3, *size, generator=rng)
    fill = torch.tensor([-1.0, 0.5, 2.0])
    crop, stride = 9, 6
    total = torch.zeros(1, 2, *size, dtype=torch.float64)
    hits = torch.zeros(size)
    for row in range(math.ceil(max(size[0] - crop, 0) / stride) + 1):
        for column in range(math.ceil(max(size[1] - crop, 0) / stride) + 1):
            inside = (
                ...,
                slice(row * stride, row * stride + crop),
                slice(column * stride, column * stride + crop),
            )
            square = fill[:, None, None].expand(1, 3, crop, crop).clone()
            height, width = image[inside].shape[-2:]
            square[..., :height, :width] = image[inside]
            mirrored = by_mean(square.flip(-1)).flip(-1)
            total[inside] += (by_mean(square) + mirrored)[..., :height, :width] / 2
            hits[inside] += 1
    assert hits.min() > 0
    for batch in (1, 4):
        found = windowed(
            with_mirrored(by_mean),
            image,
            (crop, crop),
            (stride, stride),
            batch,
            border="pad",
            fill=fill,
        )
        torch.testing.assert_close(found, (total / hits).float())


@pytest.mark.parametrize("align_corners", [True, False])
def test_sizes_are_summed_or_averaged(align_corners: bool, rng: torch.Generator) -> None:
    image = torch.randn(1, 3, 6, 10, generator=rng)
    sizes = [(3, 5), (6, 10), (11, 17)]
    total = torch.zeros(1, 2, 6, 10, dtype=torch.float64)
    for size in sizes:
        view = F.interpolate(image.double(), size, mode="bilinear", align_corners=align_corners)
        total += F.interpolate(by_mean(view), (6, 10), mode="bilinear", align_corners=align_corners)
    found = at_sizes(by_mean, image, sizes, align_corners, "sum")
    torch.testing.assert_close(found, total.float())
    found = at_sizes(by_mean, image, sizes, align_corners)
    torch.testing.assert_close(found, total.float() / 3)


def test_score_maps_may_be_smaller(rng: torch.Generator) -> None:
    image = torch.randn(1, 3, 16, 16, generator=rng)
    found = windowed(lambda x: x[:, :2, ::4, ::4], image, (8, 8), (8, 8))
    assert found.shape == (1, 2, 16, 16)


def test_one_view_is_given_as_it_is(rng: torch.Generator) -> None:
    image = torch.randn(1, 3, 8, 8, generator=rng)
    assert look_at(lambda x: x[:, :2, ::2], image, InferenceSettings(())).shape == (1, 2, 4, 8)


def test_scales_and_flips_are_averaged(rng: torch.Generator) -> None:
    image = torch.randn(1, 3, 8, 12, generator=rng)

    def lopsided(images: Tensor) -> Tensor:
        return images.cumsum(-1)

    found = look_at(lopsided, image, InferenceSettings((), flip=True))
    mirrored = lopsided(image.flip(-1)).flip(-1)
    torch.testing.assert_close(found, (lopsided(image) + mirrored) / 2)
    seen: list[tuple[int, ...]] = []

    def recording(images: Tensor) -> Tensor:
        seen.append(tuple(images.shape[-2:]))
        return images[:, :2]

    settings = InferenceSettings((), scales=(0.5, 1.0, 1.5), flip=True)
    assert look_at(recording, image, settings).shape == (1, 2, 8, 12)
    assert seen == [(4, 6), (4, 6), (8, 12), (8, 12), (12, 18), (12, 18)]
