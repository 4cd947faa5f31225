"""The best class of every pixel without the scores of all classes at once."""

import pytest
import torch

from pading.inference.class_chunks import Replayed, best_classes, class_chunks, log_sum_exp
from pading.structures import pixel_classes


def test_chunks_cover_all_classes_within_the_budget() -> None:
    assert class_chunks(5, 100, 800) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert class_chunks(5, 100, 2000) == [slice(0, 5)]
    assert class_chunks(3, 100, 0) == [slice(0, 1), slice(1, 2), slice(2, 3)]


@pytest.mark.parametrize("size", [1, 4, 100])
def test_chunks_give_what_all_scores_give(size: int, rng: torch.Generator) -> None:
    scores = torch.randint(-2, 5, (11, 4, 6), generator=rng).float()  # with equal ones
    chunks = class_chunks(11, 24, 4 * 24 * size)
    found = best_classes(scores.__getitem__, chunks)
    expected = pixel_classes({"sem_seg": scores})
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(found.labels, scores.argmax(0))
    total = log_sum_exp(scores.__getitem__, chunks)
    torch.testing.assert_close(total, scores.logsumexp(0))


def test_views_are_encoded_once() -> None:
    encoded = []

    def encode(view: torch.Tensor) -> torch.Tensor:
        encoded.append(view)
        return 2 * view

    views = Replayed(encode)
    images = [torch.full((1, 3, 2, 2), float(i)) for i in range(3)]
    for times in (1, 10):
        scores = views.followed_by(lambda kept, times=times: times * kept)
        assert [float(scores(image).max()) for image in images] == [0, 2 * times, 4 * times]
    assert len(encoded) == 3
