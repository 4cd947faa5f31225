"""Inference on cases made by hand."""

import pytest
import torch
from detectron2.structures import BitMasks
from torch import Tensor

from pading.inference.queries import (
    class_scores,
    instance_inference,
    mask_boxes,
    panoptic_inference,
    semantic_inference,
)

# Classes 0 and 1 are things, 2 and 3 stuff; column 4 is no-object.
THINGS = (0, 1)
NO_OBJECT = 4


def query(label: int, score: float) -> Tensor:
    """Scores of a query: ``score`` for ``label``, the rest shared by the others."""
    row = torch.full((5,), (1 - score) / 4)
    row[label] = score
    return row


def mask(columns: str, strength: float = 4.0) -> Tensor:
    """(2, n) mask logits: "1" inside, "0" outside."""
    row = torch.tensor([strength if c == "1" else -strength for c in columns])
    return row.expand(2, -1)


def panoptic(*queries: tuple[int, float, Tensor], overlap: float = 0.8):
    scores = torch.stack([query(label, score) for label, score, _ in queries])
    masks = torch.stack([m for _, _, m in queries])
    return panoptic_inference(scores, masks, THINGS, 0.5, overlap)


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
    ids, segments = panoptic_inference(scores, torch.zeros(queries, 3, 4), THINGS, 0.5, 0.8)
    assert segments == []
    assert ids.dtype == torch.int32
    assert ids.shape == (3, 4)
    assert not ids.any()


def test_semantic_is_the_sum_over_queries(rng: torch.Generator) -> None:
    scores = torch.randn(3, 5, generator=rng).softmax(-1)
    masks = torch.randn(3, 4, 6, generator=rng)
    wanted = torch.zeros(4, 4, 6)
    for q in range(3):
        for k in range(4):
            wanted[k] += scores[q, k] * masks[q].sigmoid()
    torch.testing.assert_close(semantic_inference(scores, masks), wanted)


def test_instances_are_the_best_pairs_of_query_and_class() -> None:
    scores = torch.tensor([[0.6, 0.3, 0.0, 0.0, 0.1], [0.1, 0.0, 0.5, 0.0, 0.4]])
    masks = torch.stack((mask("1100"), mask("0001")))
    found = instance_inference(scores, masks, 3)
    order = found.scores.argsort(descending=True)
    assert found.pred_classes[order].tolist() == [0, 2, 1]
    inside = torch.tensor(4.0).sigmoid()
    torch.testing.assert_close(found.scores[order], torch.tensor([0.6, 0.5, 0.3]) * inside)
    assert found.pred_masks[order[0]].tolist() == [[True, True, False, False]] * 2
    assert found.pred_boxes.tensor[order[:2]].tolist() == [[0, 0, 2, 2], [3, 0, 4, 2]]


def test_instances_of_chosen_classes_alone() -> None:
    scores = torch.tensor([[0.6, 0.3, 0.0, 0.0, 0.1], [0.1, 0.0, 0.5, 0.0, 0.4]])
    masks = torch.stack((mask("1100"), mask("0001")))
    # As published: chosen first, dropped then.
    assert instance_inference(scores, masks, 2, THINGS).pred_classes.tolist() == [0]


def test_candidates_alone_are_chosen_from() -> None:
    scores = torch.tensor([[0.6, 0.3, 0.0, 0.0, 0.1], [0.1, 0.0, 0.5, 0.0, 0.4]])
    masks = torch.stack((mask("1100"), mask("0001")))
    found = instance_inference(scores, masks, 2, candidates=(1, 3))
    order = found.scores.argsort(descending=True)
    assert found.pred_classes[order[0]] == 1
    assert set(found.pred_classes.tolist()) <= {1, 3}
    torch.testing.assert_close(found.scores[order[0]], torch.tensor(4.0).sigmoid() * 0.3)
    # Beside panoptic results, of the candidates the things remain.
    assert instance_inference(scores, masks, 4, THINGS, (1, 3)).pred_classes.tolist() == [1, 1]


def test_instance_of_an_empty_mask_scores_zero() -> None:
    found = instance_inference(query(0, 0.9)[None], mask("0000")[None], 1)
    assert found.scores.tolist() == [0.0]


def test_more_instances_wanted_than_pairs() -> None:
    assert len(instance_inference(query(0, 0.9)[None], mask("1100")[None], 100)) == 4


def test_class_scores_are_float32_probabilities(rng: torch.Generator) -> None:
    scores = class_scores(torch.randn(3, 5, generator=rng).half())
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.sum(-1), torch.ones(3))


def test_boxes_are_those_of_detectron2(rng: torch.Generator) -> None:
    masks = torch.rand(20, 7, 9, generator=rng) < torch.linspace(0, 0.2, 20)[:, None, None]
    assert not masks[0].any()
    assert mask_boxes(masks).equal(BitMasks(masks).get_bounding_boxes().tensor)
