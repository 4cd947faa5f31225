"""Panoptic inference on cases made by hand."""

import pytest
import torch
from torch import Tensor

from pading.inference.panoptic import PanopticPart
from tests.inference.queries_by_hand import NO_OBJECT, THINGS, at_once, mask, query


def inference(scores: Tensor, masks: Tensor, overlap: float = 0.8):
    part = PanopticPart(scores, masks.shape[1:], THINGS, 0.5, overlap)
    at_once(part, masks)
    return part.result


def panoptic(*queries: tuple[int, float, Tensor], overlap: float = 0.8):
    scores = torch.stack([query(label, score) for label, score, _ in queries])
    masks = torch.stack([m for _, _, m in queries])
    ids, segments, _ = inference(scores, masks, overlap)
    return ids, segments


def test_two_things_side_by_side() -> None:
    ids, segments = panoptic((0, 0.9, mask("1100")), (0, 0.8, mask("0011")))
    assert ids.tolist() == [[1, 1, 2, 2]] * 2
    assert [(s["id"], s["category_id"], s["isthing"]) for s in segments] == [
        (1, 0, True),
        (2, 0, True),
    ]
    assert [s["score"] for s in segments] == pytest.approx([0.9, 0.8])


def test_stuff_of_one_class_is_merged() -> None:
    ids, segments = panoptic((2, 0.9, mask("1000")), (0, 0.9, mask("0100")), (2, 0.9, mask("0010")))
    assert ids.tolist() == [[1, 2, 1, 0]] * 2
    assert [(s["category_id"], s["isthing"]) for s in segments] == [(2, False), (0, True)]


def test_overlap_goes_to_the_better_score_x_probability() -> None:
    better, worse = mask("11100000"), mask("00111111")
    ids, segments = panoptic((0, 0.95, better), (1, 0.6, worse))
    assert ids.tolist() == [[1, 1, 1, 2, 2, 2, 2, 2]] * 2
    # A surer mask outweighs a lower class score.
    ids, segments = panoptic((0, 0.7, mask("11100000", 0.1)), (1, 0.6, worse), overlap=0.5)
    assert ids.tolist() == [[1, 1, 2, 2, 2, 2, 2, 2]] * 2
    assert len(segments) == 2


def test_segment_that_keeps_too_little_is_dropped() -> None:
    winner, hidden = mask("1110"), mask("0011")
    queries = ((0, 0.95, winner), (1, 0.6, hidden))
    ids, segments = panoptic(*queries, overlap=0.8)
    assert ids.tolist() == [[1, 1, 1, 0]] * 2
    assert [s["category_id"] for s in segments] == [0]
    ids, segments = panoptic(*queries, overlap=0.5)
    assert ids.tolist() == [[1, 1, 1, 2]] * 2


def test_uncertain_queries_and_no_object_do_not_take_part() -> None:
    full = mask("1111")
    ids, segments = panoptic((0, 0.5, full), (NO_OBJECT, 0.99, full), (1, 0.51, full))
    assert [s["category_id"] for s in segments] == [1]
    assert ids.unique().tolist() == [1]


def test_an_empty_mask_gives_no_segment() -> None:
    ids, segments = panoptic((0, 0.9, mask("0000")))
    assert segments == []
    assert not ids.any()


@pytest.mark.parametrize("queries", [0, 3])
def test_no_query_left(queries: int) -> None:
    scores = torch.stack([query(NO_OBJECT, 0.9)] * 3)[:queries]
    masks = torch.zeros(queries, 3, 4)
    ids, segments, chances = inference(scores, masks)
    assert segments == []
    assert chances.shape == (0, 4)
    assert ids.dtype == torch.int32
    assert ids.shape == (3, 4)
    assert not ids.any()


def test_class_probabilities_of_segments() -> None:
    scores = torch.stack([query(2, 0.7), query(0, 0.9), query(3, 0.4), query(2, 0.8)])
    masks = torch.stack([mask("10000"), mask("01000"), mask("00100"), mask("00010")])
    ids, segments, chances = inference(scores, masks)
    assert ids.tolist() == [[1, 2, 0, 1, 0]] * 2
    # Of the stuff that two queries share, the surer one's; its score is the first one's.
    assert torch.equal(chances, scores[[3, 1], :-1])
    assert [s["score"] for s in segments] == pytest.approx([0.7, 0.9])
